//! Reads the sensor through the executor, tried again and given up while it is broken: blocking, and awaited.

use core::cell::RefCell;

use daur_core::hal::{asynch, blocking as block};
use daur_core::reliability::executor::{Execution, Executor};
use daur_core::reliability::retry::Class;
use daur_core::shared::CsShared;
use embedded_hal::i2c::I2c;
use embedded_hal_async::delay::DelayNs;

use crate::clock::{Delay, Timer};
use crate::config;
use crate::node::Read;
use crate::probe::{Fault, Probe, Reading};

/// The calls to the sensor. A static, as an interrupt or a second task would need it.
pub static CALLS: CsShared<Executor, Timer> = CsShared::new(Executor::new(config::SENSOR, 0), Timer);

/// What came of a reading, and the sensor's identifier, if it was wanted and told.
pub type Done = (Execution<Reading, Fault>, Option<u8>);

/// Reads in one go, asleep while the sensor measures and between two tries.
pub fn blocking<I2C: I2c>(probe: &mut Probe<I2C>, read: &Read) -> Done {
    let execution = block::execute(
        &CALLS,
        &mut Delay,
        |_| Class::Transient,
        || {
            let takes = probe.measure()?;
            block::wait(&mut Delay, takes);
            probe.reading()
        },
    );
    (execution, read.identify.then(|| probe.identifier().ok()).flatten())
}

/// Reads as a task does, which gives way to others while the sensor measures and between two tries. `delay` is called
/// for each wait.
pub async fn awaited<I2C: I2c, D: DelayNs>(probe: &RefCell<Probe<I2C>>, delay: impl Fn() -> D, read: &Read) -> Done {
    let execution = asynch::execute(
        &CALLS,
        &mut delay(),
        |_| Class::Transient,
        || async {
            // Held for one transfer at a time, never while it waits: it is nobody else's.
            let takes = probe.try_borrow_mut().map_err(|_| Fault::Silent)?.measure()?;
            asynch::wait(&mut delay(), takes).await;
            probe.try_borrow_mut().map_err(|_| Fault::Silent)?.reading()
        },
    )
    .await;
    let identify = || probe.try_borrow_mut().ok()?.identifier().ok();
    (execution, read.identify.then(identify).flatten())
}
