//! What is read of a host.

use daur_core::monitoring::system as machine;
use daur_core::performance::memory::Usage;
use daur_core::time::{Duration, UnixTime};
use serde::Serialize;

/// What was read. A field that the host does not tell is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// When, on the wall clock.
    pub taken_at: Option<UnixTime>,
    /// How busy all CPUs were since the sample before, in thousandths.
    pub cpu_permille: Option<u32>,
    /// CPUs that the process may use at a time: the machine's, its affinity's or its container's.
    pub cpus: Option<u32>,
    /// The memory there is for this process: the machine's, or its container's.
    pub memory: Option<Memory>,
    /// Thousandths of the last ten seconds in which work stood still for want of memory.
    pub memory_pressure_permille: Option<u32>,
    /// The swap space.
    pub swap: Option<Memory>,
    /// The load averages over 1, 5 and 15 minutes, in thousandths.
    pub load_permille: Option<[u32; 3]>,
    /// How long the machine has been up, in seconds.
    pub uptime_seconds: Option<u64>,
    /// Every disk.
    pub disks: Vec<Disk>,
    /// Every network interface.
    pub networks: Vec<Network>,
    /// Every sensor that tells a temperature.
    pub temperatures: Vec<Temperature>,
    /// This process.
    pub process: Option<Process>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What there is.
    pub total: u64,
    /// What is in use.
    pub used: u64,
    /// Whether `total` is a cgroup's limit, and not the machine's memory.
    pub limited: bool,
}

/// One mounted disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted there: `/dev/sda1`.
    pub device: String,
    /// Its file system: `ext4`.
    pub file_system: String,
    /// Nothing can be written there, as on an image, which is always full.
    pub is_read_only: bool,
    /// Its size.
    pub total: u64,
    /// What is free for this process.
    pub available: u64,
    /// Bytes read since the machine started.
    pub read: Option<u64>,
    /// Bytes written since the machine started.
    pub written: Option<u64>,
    /// Bytes read in a second, since the sample before.
    pub read_per_second: Option<u64>,
    /// Bytes written in a second, since the sample before.
    pub written_per_second: Option<u64>,
}

/// One network interface: bytes since the machine started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Bytes that came in.
    pub received: u64,
    /// Bytes that went out.
    pub transmitted: u64,
    /// Packets that were damaged or dropped, in and out.
    pub errors: Option<u64>,
    /// Bytes that came in in a second, since the sample before.
    pub received_per_second: Option<u64>,
    /// Bytes that went out in a second, since the sample before.
    pub transmitted_per_second: Option<u64>,
}

impl Network {
    /// Whether it is talk with oneself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.name.as_str(), "lo" | "lo0") || self.name.starts_with("Loopback")
    }
}

/// One sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Temperature {
    /// What it is at: `coretemp Core 0`.
    pub sensor: String,
    /// Thousandths of a degree Celsius.
    pub mc: i32,
}

/// This process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// How busy it was since the sample before, in thousandths of one CPU.
    pub cpu_permille: Option<u32>,
    /// Its resident memory in bytes.
    pub memory: u64,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// Its threads.
    pub threads: Option<u32>,
    /// Files, sockets and pipes that it has open.
    pub open_files: Option<u32>,
    /// How many it may have open.
    pub open_files_limit: Option<u32>,
}

impl Sample {
    /// What the machine of the core judges: all that is one number. Of disks it is the fullest that can be written to, of networks the sum of all
    /// but loopback, of temperatures the highest.
    #[must_use]
    pub fn figures(&self) -> machine::Sample {
        let writable = self.disks.iter().filter(|disk| !disk.is_read_only && disk.total > 0);
        let usages = writable.map(|disk| Usage::new(disk.total.saturating_sub(disk.available), disk.total));
        let fullest = usages.reduce(Usage::tighter);
        machine::Sample {
            cpu_permille: self.cpu_permille.map(|cpu| u16::try_from(cpu).unwrap_or(u16::MAX)),
            memory_used: self.memory.map(|memory| memory.used),
            memory_total: self.memory.map(|memory| memory.total),
            disk_used: fullest.map(|disk| disk.used),
            disk_total: fullest.map(|disk| disk.limit),
            received_per_second: self.rate(|network| network.received_per_second),
            sent_per_second: self.rate(|network| network.transmitted_per_second),
            load_permille: self.load_permille.map(|[minute, ..]| minute),
            temperature_mc: self.temperatures.iter().map(|sensor| sensor.mc).max(),
            uptime: self.uptime_seconds.map(Duration::from_secs),
            ..machine::Sample::EMPTY
        }
    }

    /// The sum over all interfaces that know theirs.
    fn rate(&self, of: impl Fn(&Network) -> Option<u64>) -> Option<u64> {
        let outside = self.networks.iter().filter(|network| !network.is_loopback());
        outside.filter_map(of).reduce(u64::saturating_add)
    }
}
