//! A sensor node: reads a sensor that fails at times, tells a host how it is, obeys signed commands.
#![no_std]
#![no_main]

use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use daur_core::id::DeviceId;
use daur_core::monitoring::log::Level;
use daur_core::text::Text;
use daur_core::time::Clock;
use daur_core::wire::decoder::Decoder;
use daur_firmware::boot::{self, Boot, BootSource};
use daur_firmware::clock::{self, Timer};
use daur_firmware::node::Node;
use daur_firmware::sensor::{Script, ScriptedBus};
use daur_firmware::uart::Uart;
use daur_firmware::{board, config, log};

defmt::timestamp!("{=u64:ms}", Timer.now().as_millis());

/// Says where, leaves word for the next start, and ends this one.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    boot::note_fault();
    let mut place: Text<64> = Text::cut("panic");
    match info.location() {
        Some(at) => {
            defmt::error!("panic at {=str}:{=u32}", at.file(), at.line());
            place.push(" in ");
            place.push(at.file());
        }
        None => defmt::error!("panic"),
    }
    // The next life tells the host.
    let _ = log::record(Level::Error, "node", place.as_str(), Timer.now());
    log::error("panic", place.as_str(), Timer.now());
    board::abort()
}

#[cfg(not(daur_board))]
fn start() -> Boot {
    boot::Scripted { seed: 0x6461_7572 }.boot()
}

#[cfg(daur_board)]
fn start() -> Boot {
    boot::Chip.boot()
}

#[entry]
fn main() -> ! {
    let Some(mut core) = cortex_m::Peripherals::take() else { board::abort() };
    clock::start(&mut core.SYST);
    let boot = start();
    defmt::info!("start {}, nonce {=u64:x}, after {}", boot.id.0, boot.nonce, boot.cause);

    let bus = ScriptedBus::new(Script::DEFAULT, Timer);
    let Ok(device) = DeviceId::new(config::DEVICE) else { board::abort() };
    let mut node = Node::new(boot, device, &config::DEVICE_KEY, bus);
    node.start(&config::DEVICE_KEY);
    let mut uart = Uart::start();
    let mut decoder = Decoder::<{ config::room::DOWNLINK }>::new();
    let mut lost = 0;

    loop {
        while let Some(byte) = uart.read() {
            if let Some(payload) = decoder.feed(&mut &[byte][..])
                && node.hear(payload)
            {
                send(&mut node, &mut uart);
                defmt::info!("restarting");
                // Nobody hears it in this life.
                let _ = log::record(Level::Info, "node", "reset by command", Timer.now());
                SCB::sys_reset();
            }
        }
        node.poll();
        if uart.lost() != lost {
            lost = uart.lost();
            node.line_lost(lost);
        }
        send(&mut node, &mut uart);

        let asleep = Timer.now();
        let until = node.poll_at();
        while Timer.now() < until && !uart.has_arrived() {
            cortex_m::asm::wfi();
        }
        node.slept(Timer.now() - asleep);
    }
}

/// Sends all that waits to be sent.
fn send<I2C: embedded_hal::i2c::I2c>(node: &mut Node<I2C>, uart: &mut Uart) {
    let mut line = [0; 64];
    while node.outbox.is_pending() {
        let bytes = node.outbox.read(&mut line, Timer.now());
        uart.write(line.get(..bytes).unwrap_or_default());
    }
}
