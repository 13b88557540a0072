//! placeholder
/// placeholder
pub struct KeyedBreakers;
