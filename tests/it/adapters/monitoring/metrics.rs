//! Handles, and the recorder of the facade.
