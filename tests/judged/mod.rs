//! Stories told to more than one judge: each test runs on our own local cloud and on moto. See docs/second-judge.md.

mod bake;
mod drift;
mod expired;
mod faithfulness;
mod lifecycle;
mod work;
