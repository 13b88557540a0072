//! The operating system's figures, through `sysinfo`.

use sysinfo::{
    CGroupLimits, CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind,
    ProcessesToUpdate, System,
};

use super::{Disk, Memory, Network, Process, Provider, Sample};

/// Asks the operating system. What it refuses to tell is `None`.
#[derive(Debug, Default)]
pub struct Host {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    pid: Option<Pid>,
}

impl Host {
    /// A provider that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            system: System::new().ok(),
            disks: Disks::new().ok(),
            networks: Networks::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
        }
    }

    fn disks(&mut self) -> Vec<Disk> {
        let Some(disks) = &mut self.disks else { return Vec::new() };
        disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        let mut list: Vec<_> = disks
            .iter()
            .map(|disk| Disk {
                mount: disk.mount_point().to_string_lossy().into_owned(),
                total: disk.total_space(),
                available: disk.available_space(),
            })
            .collect();
        // A disk mounted over another has its name; the last one is what is seen there.
        list.reverse();
        list.sort_by(|a, b| a.mount.cmp(&b.mount));
        list.dedup_by(|a, b| a.mount == b.mount);
        list
    }

    fn networks(&mut self) -> Vec<Network> {
        let Some(networks) = &mut self.networks else { return Vec::new() };
        networks.refresh(true);
        let mut list: Vec<_> = networks
            .iter()
            .map(|(name, data)| Network {
                name: name.to_string_lossy().into_owned(),
                received: data.total_received(),
                transmitted: data.total_transmitted(),
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}

impl Provider for Host {
    fn read(&mut self) -> Sample {
        let mut sample = Sample { disks: self.disks(), networks: self.networks(), ..Sample::default() };
        sample.load_permille = System::load_average()
            .ok()
            .map(|load| [load.one, load.five, load.fifteen].map(|load| permille(load * 1e3)));
        sample.uptime_seconds = System::uptime().ok();
        let Some(system) = &mut self.system else { return sample };
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        if let Some(pid) = self.pid {
            let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        }
        let own = self.pid.and_then(|pid| system.process(pid));
        sample.cpu_permille = Some(permille(f64::from(system.global_cpu_usage()) * 10.0));
        sample.cpus = u32::try_from(system.cpus().len()).ok().filter(|cpus| *cpus > 0);
        let limits = [own.and_then(sysinfo::Process::cgroup_limits), system.cgroup_limits()];
        sample.memory = memory(system.total_memory(), system.used_memory(), limits.into_iter().flatten());
        sample.swap = memory(system.total_swap(), system.used_swap(), std::iter::empty());
        sample.process = own.map(|process| Process {
            cpu_permille: Some(permille(f64::from(process.cpu_usage()) * 10.0)),
            memory: process.memory(),
            uptime_seconds: process.run_time(),
        });
        sample
    }
}

/// The narrowest of the machine's memory and the limits of the groups that the process is in.
fn memory(total: u64, used: u64, limits: impl Iterator<Item = CGroupLimits>) -> Option<Memory> {
    let machine = Some(Memory { total, used, limited: false }).filter(|memory| memory.total > 0);
    let group = limits
        .filter(|limit| limit.total_memory > 0 && limit.total_memory < total)
        .map(|limit| Memory {
            total: limit.total_memory,
            used: limit.total_memory.saturating_sub(limit.free_memory),
            limited: true,
        })
        .min_by_key(|memory| memory.total);
    group.or(machine)
}

/// Rounds; what is not a number becomes 0, and what is too large the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn permille(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(total_memory: u64, free_memory: u64) -> CGroupLimits {
        CGroupLimits { total_memory, free_memory, free_swap: 0, rss: 0 }
    }

    #[test]
    fn a_containers_limit_counts_and_not_the_machines_memory() {
        let found = memory(16_000, 9_000, [limit(2_000, 500), limit(4_000, 4_000)].into_iter());
        assert_eq!(found, Some(Memory { total: 2_000, used: 1_500, limited: true }));
    }

    #[test]
    fn a_limit_above_the_machines_memory_is_none() {
        let found = memory(16_000, 9_000, [limit(u64::MAX, u64::MAX), limit(16_000, 16_000)].into_iter());
        assert_eq!(found, Some(Memory { total: 16_000, used: 9_000, limited: false }));
    }

    #[test]
    fn unknown_is_not_zero() {
        assert_eq!(memory(0, 0, std::iter::empty()), None);
    }
}
