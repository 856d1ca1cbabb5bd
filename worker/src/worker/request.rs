//! A message's text as what it asks for, or why it asks for nothing.

use crate::message::{InputMessage, MAX_INPUT_BYTES, Message, MessageError};

/// A message as it was read.
pub(super) struct Request {
    /// Every header of it.
    pub(super) message: Message,
    pub(super) input: InputMessage,
}

/// Why a message is no request.
pub(super) enum Unfit {
    /// Nothing tells whose it is: it is only a dead letter.
    Unreadable(MessageError),
    /// It can be answered.
    Faulty(Box<Request>, MessageError),
}

impl Request {
    /// Reads a message's text.
    pub(super) fn read(body: &str) -> Result<Self, Unfit> {
        if body.len() > MAX_INPUT_BYTES {
            let error = MessageError::InputTooLong(body.len());
            return Err(Unfit::Unreadable(error));
        }
        let message = Message::parse(body).map_err(Unfit::Unreadable)?;
        match InputMessage::from_message(&message) {
            Ok(input) => Ok(Self { message, input }),
            Err(error) => {
                let input = InputMessage::lenient(&message);
                let nobodys = input.bucket.is_empty()
                    && input.input_key.is_empty()
                    && input.batch.is_none()
                    && input.original_file_name.is_empty();
                if nobodys {
                    return Err(Unfit::Unreadable(error));
                }
                Err(Unfit::Faulty(Box::new(Self { message, input }), error))
            }
        }
    }
}
