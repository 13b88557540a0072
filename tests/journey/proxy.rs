//! The cable between device and host, in the hands of a test: it listens, cuts, and says what it has heard again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED};

use super::DEADLINE;

#[derive(Default)]
struct Heard {
    /// The host's commands, as on the line.
    commands: Vec<Vec<u8>>,
    /// The last number that the host has acknowledged.
    acked: Option<u32>,
    /// Cut as soon as a frame of the device has begun.
    cut: bool,
    cuts: u32,
    device: Option<TcpStream>,
}

/// Takes a host's connections and leads each to the device.
pub(super) struct Proxy {
    pub(super) endpoint: String,
    heard: Arc<Mutex<Heard>>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    pub(super) fn to(device: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Heard>>::default();
        let (device, shared) = (device.trim_start_matches("tcp:").to_owned(), heard.clone());
        std::thread::spawn(move || {
            for host in listener.incoming().flatten() {
                let device = reach(&device);
                lock(&shared).device = device.try_clone().ok();
                let (up, down) = (shared.clone(), shared.clone());
                let (device_too, host_too) = (device.try_clone().unwrap(), host.try_clone().unwrap());
                std::thread::spawn(move || to_host(device_too, host_too, &up));
                std::thread::spawn(move || to_device(host, device, &down));
            }
        });
        Self { endpoint, heard }
    }

    /// Cuts the cable in the middle of the device's next frame; how often it was cut before.
    pub(super) fn cut(&self) -> u32 {
        let mut heard = lock(&self.heard);
        heard.cut = true;
        heard.cuts
    }

    pub(super) fn cuts(&self) -> u32 {
        lock(&self.heard).cuts
    }

    /// The last command that the host has sent.
    pub(super) fn last_command(&self) -> Vec<u8> {
        lock(&self.heard).commands.last().expect("a command").clone()
    }

    pub(super) fn acked(&self) -> Option<u32> {
        lock(&self.heard).acked
    }

    /// Says something to the device, between two messages of the host.
    pub(super) fn inject(&self, line: &[u8]) {
        let heard = lock(&self.heard);
        heard.device.as_ref().expect("a line").write_all(line).unwrap();
    }

    /// Says `token` to the device.
    pub(super) fn inject_token(&self, token: &str) {
        let mut line = [0; MAX_DOWNLINK_ENCODED];
        let len = Downlink::Command { token }.encode(&mut line).unwrap();
        self.inject(&line[..len]);
    }
}

fn reach(device: &str) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(device) {
            Ok(line) => return line,
            Err(error) => assert!(began.elapsed() < DEADLINE, "QEMU does not listen: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn to_host(mut device: TcpStream, mut host: TcpStream, heard: &Mutex<Heard>) {
    let mut bytes = [0; 256];
    while let Ok(len @ 1..) = device.read(&mut bytes) {
        let bytes = &bytes[..len];
        // Behind a byte that is no delimiter a frame is under way.
        let within = bytes.iter().position(|byte| *byte != 0).map(|at| at + 1);
        let torn = {
            let mut heard = lock(heard);
            within.filter(|_| std::mem::take(&mut heard.cut)).inspect(|_| heard.cuts += 1)
        };
        if host.write_all(&bytes[..torn.unwrap_or(len)]).is_err() || torn.is_some() {
            break;
        }
    }
    let _ = (device.shutdown(Shutdown::Both), host.shutdown(Shutdown::Both));
}

fn to_device(mut host: TcpStream, mut device: TcpStream, heard: &Mutex<Heard>) {
    let (mut bytes, mut message) = ([0; 256], Vec::new());
    let mut decoder = Decoder::<MAX_DOWNLINK>::new();
    'line: while let Ok(len @ 1..) = host.read(&mut bytes) {
        for byte in &bytes[..len] {
            message.push(*byte);
            if *byte != 0 {
                continue;
            }
            // Whole messages only, so that what is said in between is not said within one.
            let mut heard = lock(heard);
            match decoder.feed(&mut message.as_slice()).map(Downlink::decode) {
                Some(Ok(Downlink::Command { .. })) => heard.commands.push(message.clone()),
                Some(Ok(Downlink::Ack { seq })) => heard.acked = Some(seq),
                _ => {}
            }
            if device.write_all(&std::mem::take(&mut message)).is_err() {
                break 'line;
            }
        }
    }
    let _ = (device.shutdown(Shutdown::Both), host.shutdown(Shutdown::Both));
}
