//! Guests without QEMU, for the tests of the engine, the lab and the checks.
//!
//! ```text
//!   machines   ScriptedMachines: kernels, subjects and boots that do what a test says
//!   guest      ScriptedGuest: a guest that replies what a test says
//!   model      Model: a model of a guest with a small kernel, on which checks run
//!   tools      the model's module tools
//! ```

mod guest;
mod machines;
mod model;
mod tools;

pub use guest::{ScriptedGuest, finding};
pub use machines::{ScriptedMachines, entry, pair, request};
pub use model::{Kernel, Model};
pub use tools::{Tools, write_index};
