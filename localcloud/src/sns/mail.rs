//! A mail as a file (`.eml`, RFC 5322).

use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;

/// One mail to one address. Address and subject are checked by who makes it: they hold no line breaks.
pub(super) struct Mail<'a> {
    /// The sender's name.
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    pub(super) message_id: &'a str,
    pub(super) date: Timestamp,
}

impl Mail<'_> {
    /// Writes it into the folder, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(self.compose().as_bytes())?;
        // Names sort by time; one message goes to several addresses.
        let name = format!(
            "{}-{}.eml",
            self.date.strftime("%Y%m%dT%H%M%S%3f"),
            uuid::Uuid::new_v4()
        );
        file.persist(folder.join(name))?;
        Ok(())
    }

    fn compose(&self) -> String {
        // A display name is set by the topic's owner and may hold anything.
        let from: String = self
            .from
            .chars()
            .filter(|c| !c.is_control() && *c != '"' && *c != '\\')
            .collect();
        let date = self.date.strftime("%a, %-d %b %Y %H:%M:%S +0000");
        let text = self.text.replace("\r\n", "\n").replace('\n', "\r\n");
        format!(
            "From: \"{from}\" <no-reply@sns.invalid>\r\n\
             To: {}\r\n\
             Subject: {}\r\n\
             Date: {date}\r\n\
             Message-ID: <{}@sns.invalid>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=UTF-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             {text}\r\n",
            self.to, self.subject, self.message_id
        )
    }
}
