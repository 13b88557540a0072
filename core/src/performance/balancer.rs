//! Which of several workers gets the next task.
