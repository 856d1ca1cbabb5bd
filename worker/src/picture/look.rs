//! What a look at some pictures of a film tells.

use crate::media::Color;

/// What some pictures of a film told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// How many were looked at.
    pub pictures: u64,
    /// How many say of themselves that they are two fields.
    pub marked: u64,
    /// What they look like, where that was looked at.
    pub fields: Fields,
    /// Any carries closed captions.
    pub has_captions: bool,
    /// What those that tell anything of HDR tell.
    pub color: Color,
}

/// How many pictures look like what: counts of ffmpeg's `idet`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// Two instants in one picture, the upper lines first.
    pub top_first: u64,
    /// … the lower lines first.
    pub bottom_first: u64,
    /// One instant.
    pub progressive: u64,
    /// The upper lines were in the picture before, as in film that was made to 60 fields a second …
    pub repeated_top: u64,
    /// … the lower lines.
    pub repeated_bottom: u64,
}

impl Fields {
    /// Takes in a line that the filter `metadata` prints.
    pub(crate) fn read_line(&mut self, line: &str) {
        let count = match line.trim().strip_prefix("lavfi.idet.") {
            Some("multiple.current_frame=tff") => &mut self.top_first,
            Some("multiple.current_frame=bff") => &mut self.bottom_first,
            Some("multiple.current_frame=progressive") => &mut self.progressive,
            Some("repeated.current_frame=top") => &mut self.repeated_top,
            Some("repeated.current_frame=bottom") => &mut self.repeated_bottom,
            _ => return,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_idet_prints_is_counted() {
        let text = "frame:0    pts:0       pts_time:0\nlavfi.idet.repeated.current_frame=neither\n\
            lavfi.idet.repeated.top=0.00\nlavfi.idet.single.current_frame=progressive\n\
            lavfi.idet.multiple.current_frame=tff\nframe:1    pts:1       pts_time:0.04\n\
            lavfi.idet.repeated.current_frame=bottom\nlavfi.idet.multiple.current_frame=progressive\n";
        let mut fields = Fields::default();
        text.lines().for_each(|line| fields.read_line(line));
        assert_eq!(
            fields,
            Fields {
                top_first: 1,
                progressive: 1,
                repeated_bottom: 1,
                ..Fields::default()
            }
        );
    }
}
