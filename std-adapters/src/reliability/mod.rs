//! What to do when calls fail, on a host: runners that wait, guards that give permits back.
