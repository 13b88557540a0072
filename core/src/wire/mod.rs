//! Records between a device and its host.

pub mod crc;
pub mod decoder;
pub mod frame;
pub mod outbox;
pub mod record;
