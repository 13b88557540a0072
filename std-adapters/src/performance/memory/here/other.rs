//! This machine's figures, from `sysinfo`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use daur_core::performance::memory::Usage;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate};

use crate::performance::memory::provider::{Error, Sample};

#[derive(Debug)]
pub(in crate::performance::memory) struct Here {
    pid: Option<Pid>,
    /// `None` where `sysinfo` knows nothing.
    system: Option<Mutex<sysinfo::System>>,
}

impl Here {
    pub(in crate::performance::memory) fn new() -> Self {
        Self { pid: sysinfo::get_current_pid().ok(), system: sysinfo::System::new().ok().map(Mutex::new) }
    }

    fn system(&self) -> Result<MutexGuard<'_, sysinfo::System>, Error> {
        let system = self.system.as_ref().ok_or(Error::Unsupported)?;
        Ok(system.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::performance::memory) fn sample(&self) -> Result<Sample, Error> {
        let process = self.process()?;
        let mut system = self.system()?;
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let total = system.total_memory();
        if total == 0 {
            return Err(Error::Unsupported);
        }
        let swap = Usage::new(system.used_swap(), system.total_swap());
        Ok(Sample {
            process,
            total,
            available: system.available_memory().min(total),
            swap: Some(swap).filter(|swap| swap.limit > 0),
            ..Sample::default()
        })
    }

    pub(in crate::performance::memory) fn process(&self) -> Result<u64, Error> {
        let pid = self.pid.ok_or(Error::Unsupported)?;
        let mut system = self.system()?;
        let kind = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        Ok(system.process(pid).ok_or(Error::Unsupported)?.memory())
    }

    pub(in crate::performance::memory) fn proportional(&self) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }
}
