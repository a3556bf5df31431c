//! What the tests of several crates share; never part of the program.

pub mod debian;
pub mod forgetful;
pub mod helper;
pub mod images;
pub mod line;
pub mod peers;
pub mod proxy;
pub mod registry;
