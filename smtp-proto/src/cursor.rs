//! A place in a text, moved forward by the grammar rules: one small method per way of reading.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { rest: text }
    }

    pub(crate) fn rest(self) -> &'a str {
        self.rest
    }

    pub(crate) fn is_at_end(self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes the next character whatever it is.
    pub(crate) fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    /// Takes `wanted` if it comes next.
    pub(crate) fn take_char(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes `wanted` if it comes next in any case. `wanted` is ASCII.
    pub(crate) fn take_keyword(&mut self, wanted: &str) -> bool {
        let matches = self.rest.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted));
        if matches {
            self.rest = self.rest.get(wanted.len()..).unwrap_or_default();
        }
        matches
    }

    /// Takes the longest run of characters that `belongs` accepts, which may be empty.
    pub(crate) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    pub(crate) fn skip_spaces(&mut self) {
        self.take_while(|character| character == ' ' || character == '\t');
    }
}
