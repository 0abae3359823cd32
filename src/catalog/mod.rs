//! What is known: dated prices and cards.

pub mod book;
