//! The wire format of EC2 (`ec2Query`) and of IAM, STS and SNS (`awsQuery`): form-urlencoded
//! parameters in, XML out. It owns the format only, and knows of no service.
//!
//! A service that speaks it has one entry point of this form:
//!
//! ```ignore
//! pub async fn handle(&self, caller: &Caller, action: &str, params: &mut Params) -> ApiResult<XmlBody>
//! ```
//!
//! It reads what it knows of `params`, calls [`Params::finish`] *before it changes anything*, and
//! then acts. So a parameter that it doesn't know has no effect and is named in the error.

mod params;
mod xml;

pub use params::Params;
pub(crate) use xml::is_xml_char;
pub use xml::{Envelope, XmlBody};
