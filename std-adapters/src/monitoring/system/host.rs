//! The operating system's figures: memory by `performance::memory`, all else through `sysinfo`.

use daur_core::performance::memory::Usage;
use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System,
};

use super::sample::{Disk, Memory, Network, Process, Sample, Temperature};
use super::sampler::Provider;
use crate::performance::memory;

/// Asks the operating system. What it refuses to tell is `None`.
///
/// Memory is what is left of the narrowest limit: the machine's, or that of a control group (version 1 or 2) that the
/// process is in, of whose cache only the part counts that is in use.
///
/// # Cost
/// On Linux a reading opens small files of `/proc` and `/sys`, more with each CPU, mount, interface and sensor.
pub struct Host {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    components: Option<Components>,
    pid: Option<Pid>,
    memory: Box<dyn memory::Provider>,
}

impl Host {
    /// A provider that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_memory(memory::System::new())
    }

    /// One that is told about memory by `provider`, such as a [`Tree`](memory::Tree) of files.
    #[must_use]
    pub fn with_memory(provider: impl memory::Provider + 'static) -> Self {
        Self {
            system: System::new().ok(),
            disks: Disks::new().ok(),
            networks: Networks::new().ok(),
            components: Components::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            memory: Box::new(provider),
        }
    }

    fn disks(&mut self) -> Vec<Disk> {
        let Some(disks) = &mut self.disks else { return Vec::new() };
        disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage().with_io_usage());
        let mut list: Vec<_> = disks
            .iter()
            .map(|disk| {
                let usage = disk.usage();
                // All zero: the system does not tell, or nobody has ever used it, which is the same to whoever asks.
                let known = usage.total_read_bytes > 0 || usage.total_written_bytes > 0;
                Disk {
                    mount: disk.mount_point().to_string_lossy().into_owned(),
                    device: disk.name().to_string_lossy().into_owned(),
                    file_system: disk.file_system().to_string_lossy().into_owned(),
                    is_read_only: disk.is_read_only(),
                    total: disk.total_space(),
                    available: disk.available_space(),
                    read: known.then_some(usage.total_read_bytes),
                    written: known.then_some(usage.total_written_bytes),
                    ..Disk::default()
                }
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
                errors: Some(data.total_errors_on_received().saturating_add(data.total_errors_on_transmitted())),
                ..Network::default()
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    fn temperatures(&mut self) -> Vec<Temperature> {
        let Some(components) = &mut self.components else { return Vec::new() };
        components.refresh(true);
        let told = components.iter().filter_map(|component| {
            let celsius = component.temperature().filter(|celsius| celsius.is_finite())?;
            Some(Temperature { sensor: component.label().to_string(), mc: mc(celsius) })
        });
        let mut list: Vec<_> = told.collect();
        list.sort_by(|a, b| a.sensor.cmp(&b.sensor));
        list
    }

    /// What is left of memory, and how much time is lost for want of it.
    fn memory(&self, sample: &mut Sample) {
        let Ok(read) = self.memory.sample() else { return };
        let tightest = read.group.map(|group| group.tightest).filter(|usage| usage.limit > 0);
        sample.memory = Some(match tightest {
            Some(Usage { used, limit }) => Memory { total: limit, used, limited: true },
            None => Memory { total: read.total, used: read.total.saturating_sub(read.available), limited: false },
        })
        .filter(|memory| memory.total > 0);
        sample.swap = read.swap.filter(|swap| swap.limit > 0).map(|swap| Memory {
            total: swap.limit,
            used: swap.used,
            limited: false,
        });
        sample.memory_pressure_permille = read.pressure.map(|pressure| u32::from(pressure.some.avg10));
    }

    fn process(&mut self) -> Option<Process> {
        let (system, pid) = (self.system.as_mut()?, self.pid?);
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        let own = system.process(pid)?;
        let small = |count: Option<usize>| count.and_then(|count| u32::try_from(count).ok());
        Some(Process {
            cpu_permille: Some(permille(f64::from(own.cpu_usage()) * 10.0)),
            memory: own.memory(),
            uptime_seconds: own.run_time(),
            threads: threads(),
            open_files: small(own.open_files()),
            open_files_limit: small(own.open_files_limit()),
        })
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Provider for Host {
    fn read(&mut self) -> Sample {
        let mut sample = Sample {
            disks: self.disks(),
            networks: self.networks(),
            temperatures: self.temperatures(),
            process: self.process(),
            uptime_seconds: System::uptime().ok(),
            // It knows affinity and quotas of control groups.
            cpus: std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok()),
            ..Sample::default()
        };
        self.memory(&mut sample);
        sample.load_permille = System::load_average()
            .ok()
            .map(|load| [load.one, load.five, load.fifteen].map(|load| permille(load * 1e3)));
        if let Some(system) = &mut self.system {
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
            sample.cpu_permille = Some(permille(f64::from(system.global_cpu_usage()) * 10.0));
        }
        sample
    }
}

/// How many threads this process has, where Linux tells it.
fn threads() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:")).and_then(|count| count.trim().parse().ok())
}

/// Rounds; what is not a number becomes 0, and what is too large the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn permille(value: f64) -> u32 {
    value.round() as u32
}

/// Thousandths of a degree, rounded.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
fn mc(celsius: f32) -> i32 {
    (f64::from(celsius) * 1e3).round() as i32
}
