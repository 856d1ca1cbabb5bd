//! The conversion service that runs on an instance, and the formats that it speaks.
//!
//! On one page, from the top:
//!
//! 1. `main.rs` reads the command line and, from the instance's metadata ([`instance`]) or a file,
//!    the [`user_data`]; makes clients ([`aws`]); says hello by mail where asked ([`notify`]).
//!    From now on signals and Spot notices ([`spot`]) can ask it to leave.
//! 2. [`worker`] takes messages, for as many files beside each other as there are [`slots`], from the [`inbox`], holds it while it is worked on, and goes
//!    through the article's six steps: read the [`message`]; fetch the input from the [`store`];
//!    let the [`service`] process it; store the outputs; send the status message; delete the
//!    input message. Between the fourth and the fifth the [`verdict`] is written, which decides
//!    whose work counts when two did the same.
//! 3. [`convert_video`] is the service of the article. It takes a [`preset`], runs [`ffmpeg`] by
//!    it in the [`jail`], and lets no output out without a [`certificate`] that it is right, made from what
//!    ffprobe tells of both files ([`media`]).
//! 4. While it works it tells how far it is ([`progress`]); at its end it stores its log
//!    ([`recent_log`]).
//! 5. When the queue has been empty for the idle time the worker ends, and the machine powers off.
//!
//! What is a file's fault is told in a `failed` status message and the batch goes on. What is the
//! machine's fault gives the message back at once, for another machine; after some in a row the
//! worker ends with an error.
//!
//! The deployer `muck` imports the formats: [`message`], [`user_data`], [`preset`], [`verdict`],
//! [`dates`] and [`text`]. Nothing there imports anything else of this crate.

pub mod aws;
pub mod certificate;
pub mod clock;
pub mod convert_video;
pub mod dates;
pub mod dns;
pub mod ffmpeg;
pub mod http_client;
pub mod inbox;
pub mod instance;
pub mod jail;
pub mod media;
mod memory;
pub mod message;
#[cfg(test)]
mod mutation;
pub mod notify;
mod picture;
pub mod preset;
pub mod probe;
pub mod progress;
pub mod recent_log;
mod selection;
pub mod service;
pub mod slots;
pub mod spent;
pub mod spot;
pub mod store;
pub mod sums;
pub mod text;
pub mod user_data;
pub mod verdict;
pub mod worker;

/// The folder of inputs and outputs in their buckets; the rest of the key is the content's MD5.
pub const MEDIA_PREFIX: &str = "media/";
