//! Records between a device and its host.
//!
//! A device says what it knows as a [`record::Record`], which [`outbox::Outbox`] numbers, encodes and keeps
//! until the host has acknowledged it. On the line a frame is
//! `COBS(postcard(`[`frame::Frame`]`) ++ CRC-32 little-endian) ++ 0x00`. [`decoder::Decoder`] finds frames in
//! any stream of bytes, [`inbox::Inbox`] puts them in order, and a [`frame::Downlink`] goes the other way in the
//! same framing.
//!
//! # What holds
//! * Records are append-only: a variant keeps its place and its fields for ever, and golden bytes prove it.
//! * An old host skips a record that it does not know, and a damaged frame costs no other frame.
//! * Loss is a record: what the outbox had no room for is counted and told in its place in the sequence.
//!
//! # A frame, from end to end
//!
//! ```
//! use daur_core::text::Text;
//! use daur_core::time::Instant;
//! use daur_core::wire::{decoder::Decoder, frame::{Frame, MAX_PAYLOAD}, outbox::{self, Outbox}, record::Record};
//!
//! let mut outbox: Outbox<512> = Outbox::new(outbox::Config::DEFAULT);
//! let reads = Record::Counter { name: Text::cut("reads"), total: 7 };
//! outbox.push(&reads, Instant::from_secs(1)).unwrap();
//!
//! let mut line = [0; 64];
//! let sent = outbox.read(&mut line, Instant::from_secs(1));
//!
//! let mut decoder: Decoder<MAX_PAYLOAD> = Decoder::new();
//! let mut arrived = &line[..sent];
//! let payload = decoder.feed(&mut arrived).expect("a whole frame");
//! assert_eq!(Frame::decode(payload).unwrap().record, reads);
//! ```

pub use crate::crc;

mod cobs;
pub mod decoder;
pub mod frame;
pub mod inbox;
pub mod outbox;
pub mod record;
