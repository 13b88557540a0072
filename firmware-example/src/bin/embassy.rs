//! The same node as `main.rs`, driven by tasks: embassy's executor and timers, `daur-core`'s runners that await.
//!
//! Three tasks share the device in a `RefCell`, which none holds while it waits. Embassy's own thread executor sleeps by
//! WFE; here its raw one has a loop that sleeps, and counts, as the other variant does.
#![no_std]
#![no_main]

use core::cell::{RefCell, RefMut};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use cortex_m_rt::entry;
use critical_section::Mutex;
use daur_core::hal::asynch;
use daur_core::hal::clock::EmbassyClock;
use daur_core::time::{Clock, Duration, Instant};
use daur_firmware::clock::{self, Timer};
use daur_firmware::device::{self, Device};
use daur_firmware::probe::Probe;
use daur_firmware::sensor::{Script, ScriptedBus};
use daur_firmware::{board, config, idle, reader, uart};
use embassy_executor::raw::Executor;
use embassy_executor::task;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Delay;
use embassy_time_driver::{Driver, time_driver_impl};
use embassy_time_queue_utils::Queue;

defmt::timestamp!("{=u64:ms}", EmbassyClock.now().as_millis());

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    device::on_panic(info)
}

/// Embassy's time: the node's clock, and timers that its interrupt looks after each millisecond.
struct Ticks {
    queue: Mutex<RefCell<Queue>>,
}

time_driver_impl!(static TICKS: Ticks = Ticks { queue: Mutex::new(RefCell::new(Queue::new())) });

impl Driver for Ticks {
    fn now(&self) -> u64 {
        (Timer.now() - Instant::ZERO).as_micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The next interrupt looks whether it is over: there is no alarm to be set.
        self.with(|queue| {
            queue.schedule_wake(at, waker);
        });
    }
}

impl Ticks {
    /// With interrupts off, and not from within itself: `borrow_mut` would bring a panic for that.
    fn with(&self, work: impl FnOnce(&mut Queue)) {
        critical_section::with(|cs| {
            if let Ok(mut queue) = self.queue.borrow(cs).try_borrow_mut() {
                work(&mut queue);
            }
        });
    }
}

/// By the timer's interrupt: wakes whose time has come.
fn on_tick() {
    let now = TICKS.now();
    TICKS.with(|queue| {
        queue.next_expiration(now);
    });
}

type Event = Signal<CriticalSectionRawMutex, ()>;

/// The host has said something.
static ARRIVED: Event = Signal::new();
/// There is something to send, or room to send it.
static SENDABLE: Event = Signal::new();

/// By the serial port's interrupt.
fn on_change() {
    ARRIVED.signal(());
    SENDABLE.signal(());
}

/// Waits until `at`, or for the event if it comes before; in any case the other tasks have their turn.
async fn until(at: Instant, event: &Event) {
    let time = (at - EmbassyClock.now()).max(Duration::from_micros(1));
    asynch::within(&mut Delay, time, event.wait()).await;
}

type Shared = &'static RefCell<Device<'static>>;

/// Holds the device for as long as nothing is awaited: then nobody else does.
fn hold(device: Shared) -> RefMut<'static, Device<'static>> {
    // Not `borrow_mut`, which brings a panic and its formatting.
    let Ok(device) = device.try_borrow_mut() else { board::abort() };
    device
}

type Bus = ScriptedBus<Timer>;

/// Reads the sensor when it is due.
#[task]
async fn sense(device: Shared, probe: RefCell<Probe<Bus>>) {
    loop {
        let begun = hold(device).node.begin_read();
        if let Some(read) = begun {
            let (execution, identifier) = reader::awaited(&probe, || Delay, &read).await;
            hold(device).node.finish_read(read, execution, identifier);
            SENDABLE.signal(());
        }
        let at = hold(device).node.read_at();
        asynch::wait(&mut Delay, (at - EmbassyClock.now()).max(Duration::from_micros(1))).await;
    }
}

/// Hears the host.
#[task]
async fn listen(device: Shared) {
    loop {
        hold(device).listen();
        SENDABLE.signal(());
        until(EmbassyClock.now() + config::BEAT, &ARRIVED).await;
    }
}

/// Does the rest when it is due, sends, and feeds the watchdog.
#[task]
async fn tend(device: Shared) {
    loop {
        let at = {
            let mut device = hold(device);
            device.tend();
            device.send();
            device.poll_at()
        };
        until(at, &SENDABLE).await;
    }
}

/// Set when a task has been woken.
static PENDED: AtomicBool = AtomicBool::new(false);

/// The executor calls this when a task is woken, from an interrupt as well.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    PENDED.store(true, Ordering::Release);
}

/// Lends `value` for ever.
///
/// # Safety
/// It is neither moved nor dropped any more.
unsafe fn forever<T>(value: &T) -> &'static T {
    // SAFETY: as above.
    unsafe { &*core::ptr::from_ref(value) }
}

/// As [`forever`], to one alone.
///
/// # Safety
/// It is not used any more but by what this returns.
unsafe fn forever_mut<T>(value: &mut T) -> &'static mut T {
    // SAFETY: as above.
    unsafe { &mut *core::ptr::from_mut(value) }
}

#[entry]
fn main() -> ! {
    let mut node = device::node(device::boot());
    // SAFETY: it stands on the stack of a function that never returns, as what follows does.
    let device = RefCell::new(Device::start(unsafe { forever_mut(&mut node) }));
    let executor = Executor::new(core::ptr::null_mut());
    // SAFETY: as above.
    let (device, executor) = unsafe { (forever(&device), forever(&executor)) };
    clock::ON_TICK.set(on_tick);
    uart::ON_CHANGE.set(on_change);

    let probe = RefCell::new(Probe::new(ScriptedBus::new(Script::DEFAULT, Timer)));
    let spawner = executor.spawner();
    let (Ok(sense), Ok(listen), Ok(tend)) = (sense(device, probe), listen(device), tend(device)) else {
        board::abort()
    };
    spawner.spawn(sense);
    spawner.spawn(listen);
    spawner.spawn(tend);
    loop {
        PENDED.store(false, Ordering::Relaxed);
        // SAFETY: called from here alone, where no task runs: `pender` does not poll.
        unsafe { executor.poll() };
        idle::until(|| PENDED.load(Ordering::Acquire));
    }
}
