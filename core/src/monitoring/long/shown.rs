//! A sum in `defmt`: a number, however it is stored.

use super::long::Long;

impl defmt::Format for Long {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64}", self.get());
    }
}
