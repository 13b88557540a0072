//! What is known of a machine at one moment.

use crate::performance::memory::Usage;
use crate::time::Duration;

/// Holds what was read. What nobody knows is `None`, never 0.
///
/// A host fills the first half, a device the second; where both make sense, both may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sample {
    /// How busy all CPUs are, in thousandths.
    pub cpu_permille: Option<u16>,
    /// Bytes of memory in use.
    pub memory_used: Option<u64>,
    /// Bytes of memory that there are.
    pub memory_total: Option<u64>,
    /// Bytes in use on the disk that is fullest.
    pub disk_used: Option<u64>,
    /// Bytes that it holds.
    pub disk_total: Option<u64>,
    /// Bytes that come in from the network in a second.
    pub received_per_second: Option<u64>,
    /// Bytes that go out in a second.
    pub sent_per_second: Option<u64>,
    /// Tasks that run or wait to, on the average of a minute, in thousandths.
    pub load_permille: Option<u32>,
    /// The highest temperature, in thousandths of a degree Celsius.
    pub temperature_mc: Option<i32>,
    /// The most stack that was ever in use, in bytes.
    pub stack_high_water: Option<u32>,
    /// The stack that there is, in bytes.
    pub stack_size: Option<u32>,
    /// Time spent asleep, in thousandths: see [`Idle`](super::Idle).
    pub idle_permille: Option<u16>,
    /// Time since the start.
    pub uptime: Option<Duration>,
    /// Why it started.
    pub reset_cause: Option<ResetCause>,
}

/// Says why a device started. Part of the wire: variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ResetCause {
    /// It cannot tell.
    Unknown,
    /// Power came back.
    PowerOn,
    /// The reset pin or a button.
    Pin,
    /// The firmware asked for it.
    Software,
    /// The watchdog was not fed.
    Watchdog,
    /// The supply sagged.
    BrownOut,
    /// A panic or a fault.
    Fault,
}

impl ResetCause {
    /// The name in small letters, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::PowerOn => "power_on",
            Self::Pin => "pin",
            Self::Software => "software",
            Self::Watchdog => "watchdog",
            Self::BrownOut => "brown_out",
            Self::Fault => "fault",
        }
    }
}

/// Names a figure that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Field {
    /// How busy the CPUs are.
    Cpu,
    /// The share of the memory in use.
    Memory,
    /// The share of the fullest disk in use.
    Disk,
    /// The load.
    Load,
    /// The highest temperature.
    Temperature,
    /// The share of the stack that was ever in use.
    Stack,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::Cpu, Self::Memory, Self::Disk, Self::Load, Self::Temperature, Self::Stack];

    /// Its name in small letters: `cpu`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Load => "load",
            Self::Temperature => "temperature",
            Self::Stack => "stack",
        }
    }
}

impl Sample {
    /// Nothing known.
    pub const EMPTY: Self = Self {
        cpu_permille: None,
        memory_used: None,
        memory_total: None,
        disk_used: None,
        disk_total: None,
        received_per_second: None,
        sent_per_second: None,
        load_permille: None,
        temperature_mc: None,
        stack_high_water: None,
        stack_size: None,
        idle_permille: None,
        uptime: None,
        reset_cause: None,
    };

    /// What is used of memory, disk or stack, if it is known of how much; `None` of another field.
    #[must_use]
    pub fn usage(&self, field: Field) -> Option<Usage> {
        let (used, total) = match field {
            Field::Memory => (self.memory_used?, self.memory_total?),
            Field::Disk => (self.disk_used?, self.disk_total?),
            Field::Stack => (u64::from(self.stack_high_water?), u64::from(self.stack_size?)),
            Field::Cpu | Field::Load | Field::Temperature => return None,
        };
        Some(Usage::new(used, total)).filter(|usage| usage.limit > 0)
    }

    /// How busy the CPUs are: as told, or else what is not idle.
    fn busy(&self) -> Option<u16> {
        self.cpu_permille.or_else(|| self.idle_permille.map(|idle| 1_000_u16.saturating_sub(idle)))
    }

    /// What is judged of a field: thousandths, of a temperature those of a degree.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<i32> {
        match field {
            Field::Cpu => self.busy().map(i32::from),
            Field::Load => self.load_permille.map(|load| i32::try_from(load).unwrap_or(i32::MAX)),
            Field::Temperature => self.temperature_mc,
            Field::Memory | Field::Disk | Field::Stack => self.usage(field).map(|usage| i32::from(usage.permille())),
        }
    }

    /// Whose trend is told: bytes of memory, disk and stack, and of the others what is judged.
    #[must_use]
    pub fn amount(&self, field: Field) -> Option<i64> {
        let bytes = match field {
            Field::Memory => self.memory_used?,
            Field::Disk => self.disk_used?,
            Field::Stack => u64::from(self.stack_high_water?),
            Field::Cpu | Field::Load | Field::Temperature => return self.value(field).map(i64::from),
        };
        Some(i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}
