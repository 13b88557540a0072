//! The machine, as it is shown.

use daur_std::monitoring::system;
use serde::Serialize;

/// The machine and this process.
#[derive(Debug, Serialize)]
pub struct System {
    pub(super) cpu_permille: Option<u32>,
    pub(super) cpus: Option<u32>,
    pub(super) memory_used: Option<u64>,
    pub(super) memory_total: Option<u64>,
    pub(super) memory_limited: Option<bool>,
    load1: Option<f64>,
    uptime_s: Option<u64>,
    pub(super) disks: Vec<Disk>,
    received_per_second: Option<u64>,
    sent_per_second: Option<u64>,
    process_memory: Option<u64>,
    process_cpu_permille: Option<u32>,
}

/// One disk.
#[derive(Debug, Serialize)]
pub struct Disk {
    pub(super) name: String,
    pub(super) used: u64,
    pub(super) total: u64,
}

impl System {
    pub(super) fn of(sample: &system::Sample) -> Self {
        let figures = sample.figures();
        let mut disks: Vec<Disk> = Vec::new();
        for disk in &sample.disks {
            // A bind mount shows the same disk again under another name.
            let used = disk.total.saturating_sub(disk.available);
            let again = disks.iter().any(|seen| seen.total == disk.total && seen.used == used);
            if disk.total > 0 && !again {
                disks.push(Disk { name: disk.mount.clone(), used, total: disk.total });
            }
        }
        Self {
            cpu_permille: sample.cpu_permille,
            cpus: sample.cpus,
            memory_used: sample.memory.map(|memory| memory.used),
            memory_total: sample.memory.map(|memory| memory.total),
            memory_limited: sample.memory.map(|memory| memory.limited),
            load1: sample.load_permille.map(|[one, ..]| f64::from(one) / 1e3),
            uptime_s: sample.uptime_seconds,
            disks,
            received_per_second: figures.received_per_second,
            sent_per_second: figures.sent_per_second,
            process_memory: sample.process.map(|process| process.memory),
            process_cpu_permille: sample.process.and_then(|process| process.cpu_permille),
        }
    }
}
