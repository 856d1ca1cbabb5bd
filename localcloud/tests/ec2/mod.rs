//! Contract tests of the EC2 API: the real SDK client, a driver that models a disk, a clock that is
//! moved by hand.

mod bake;
mod boot;
mod describe;
mod launch;
mod model;
mod network;
mod rig;
mod survive;
mod tags;
mod wire;
