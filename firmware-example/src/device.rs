//! The whole device but its loop: the node, its line to the host and its watchdog, which both loops drive alike.

use core::panic::PanicInfo;

use cortex_m::Peripherals;
use cortex_m::peripheral::SCB;
use daur_core::id::DeviceId;
use daur_core::monitoring::log::Level;
use daur_core::text::Text;
use daur_core::time::{Clock, Instant};
use daur_core::wire::decoder::Decoder;

use crate::boot::{self, Boot, BootSource};
use crate::clock::{self, Timer};
use crate::node::{Node, Task};
use crate::uart::Uart;
use crate::watchdog::{Dog, Watchdog};
use crate::{board, config, idle, log};

/// All that a loop drives.
pub struct Device<'a> {
    /// What it knows: where it was made, since moved it would stand on the stack twice.
    pub node: &'a mut Node,
    uart: Uart,
    decoder: Decoder<{ config::room::DOWNLINK }>,
    line_lost: u32,
    dog: Dog,
}

/// Starts the clock, and says which life this is.
#[inline(never)]
pub fn boot() -> Boot {
    let Some(mut core) = Peripherals::take() else { board::abort() };
    clock::start(&mut core.SYST);
    let boot = { boot::SOURCE }.boot();
    defmt::info!("start {}, nonce {=u64:x}, after {}", boot.id.0, boot.nonce, boot.cause);
    boot
}

/// The node in its life `boot`.
///
/// Inlined, so that it is made where it stays.
#[inline(always)]
pub fn node(boot: Boot) -> Node {
    let Ok(device) = DeviceId::new(config::DEVICE) else { board::abort() };
    Node::new(boot, device, &config::DEVICE_KEY)
}

impl<'a> Device<'a> {
    /// Begins the node's life: from here on the watchdog wants to be fed.
    #[inline(never)]
    pub fn start(node: &'a mut Node) -> Self {
        let mut device =
            Self { node, uart: Uart::start(), decoder: Decoder::new(), line_lost: 0, dog: Default::default() };
        device.dog.start(config::WATCHDOG);
        device.node.start(&config::DEVICE_KEY);
        device
    }

    /// Hears what has arrived. Resets the chip if that is what the host says.
    #[inline(never)]
    pub fn listen(&mut self) {
        self.node.beat(Task::Link);
        while let Some(byte) = self.uart.read() {
            if let Some(payload) = self.decoder.feed(&mut &[byte][..])
                && self.node.hear(payload)
            {
                self.restart();
            }
        }
        if self.uart.lost() != self.line_lost {
            self.line_lost = self.uart.lost();
            self.node.line_lost(self.line_lost);
        }
    }

    /// Does what is due, and feeds the watchdog while the node is live.
    #[inline(never)]
    pub fn tend(&mut self) {
        self.node.poll();
        if self.node.is_live() {
            self.dog.feed();
        }
    }

    /// Sends what waits to be sent, as far as the wire takes it: waits for nothing.
    #[inline(never)]
    pub fn send(&mut self) {
        let mut line = [0; 32];
        while self.node.outbox.is_pending() {
            let room = self.uart.room().min(line.len());
            let Some(into) = line.get_mut(..room).filter(|into| !into.is_empty()) else { return };
            let bytes = self.node.outbox.read(into, Timer.now());
            self.uart.write(into.get(..bytes).unwrap_or_default());
        }
    }

    /// Whether [`Self::listen`] or [`Self::send`] has something to do now.
    pub fn has_work(&self) -> bool {
        self.uart.has_arrived() || (self.node.outbox.is_pending() && self.uart.has_room())
    }

    /// When [`Self::tend`] has something to do again.
    pub fn poll_at(&self) -> Instant {
        self.node.poll_at()
    }

    /// Resets the chip when the line is empty, or will not be.
    #[inline(never)]
    fn restart(&mut self) -> ! {
        let until = Timer.now() + config::FAREWELL;
        while Timer.now() < until && (self.node.outbox.is_pending() || !self.uart.is_empty()) {
            self.send();
            // What arrives now is for nobody.
            while self.uart.read().is_some() {}
            idle::until(|| Timer.now() >= until || self.uart.has_room());
        }
        // The last bytes are still in the port's registers.
        let until = Timer.now() + config::LAST_BYTES;
        idle::until(|| Timer.now() >= until);
        defmt::info!("restarting");
        // Nobody hears it in this life.
        let _ = log::record(Level::Info, "node", "reset by command", Timer.now());
        SCB::sys_reset();
    }
}

/// Says where a panic was, leaves word for the next start, and ends this one.
pub fn on_panic(info: &PanicInfo<'_>) -> ! {
    boot::note(boot::End::Fault);
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
