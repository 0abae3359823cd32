//! What will run, what will not fit and why.
