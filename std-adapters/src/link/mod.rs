//! Devices on the other end of a line: TCP or serial bytes in, statuses out, signed commands back.
//!
//! [`Registry::attach`] starts a task that connects to an [`Endpoint`], reads frames, acknowledges them, and
//! connects again by the core retry machine when the line breaks. [`Registry::snapshot`] tells how every device
//! stands, and [`Registry::send_command`] asks one to do something. The audit chain of each device is verified as it
//! comes, and kept where [`Registry::with_audit_dir`] says.

mod audit;
mod device;
mod endpoint;
mod log;
mod registry;
mod status;
mod task;
mod time;

pub use endpoint::{Endpoint, InvalidEndpoint};
pub use registry::{Config, Registry, Reply, SendError};
pub use status::{BreakerStatus, CacheStatus, DeviceStatus, ErrorStatus, LogLine, Series, SeriesValue, SystemStatus};

#[cfg(test)]
mod tests;
