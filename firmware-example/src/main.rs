//! A sensor node: reads a sensor that fails at times, tells a host how it is, obeys signed commands.
//!
//! One loop, which sleeps until something is due or has arrived. `bin/embassy.rs` is the same node with tasks.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use daur_core::time::Clock;
use daur_firmware::clock::Timer;
use daur_firmware::device::{self, Device};
use daur_firmware::node::Node;
use daur_firmware::probe::Probe;
use daur_firmware::sensor::{Script, ScriptedBus};
use daur_firmware::{idle, reader};

defmt::timestamp!("{=u64:ms}", Timer.now().as_millis());

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    device::on_panic(info)
}

#[entry]
fn main() -> ! {
    let mut node = device::node(device::boot());
    let mut probe = Probe::new(ScriptedBus::new(Script::DEFAULT, Timer));
    let mut device = Device::start(&mut node);

    loop {
        device.listen();
        sense(device.node, &mut probe);
        device.tend();
        device.send();
        let until = device.poll_at();
        idle::until(|| Timer.now() >= until || device.has_work());
    }
}

/// Reads the sensor if that is due. Not inlined: what it needs leaves the stack with it.
#[inline(never)]
fn sense(node: &mut Node, probe: &mut Probe<ScriptedBus<Timer>>) {
    if let Some(read) = node.begin_read() {
        let (execution, identifier) = reader::blocking(probe, &read);
        node.finish_read(read, execution, identifier);
    }
}
