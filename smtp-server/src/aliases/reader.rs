//! Reads the text of an alias file: lines, words, commas and quotes.

use smtp_proto::address::{AddressError, LocalPart, Mailbox};

use super::{Alias, AliasesError, AliasesReason, MOST_OCTETS, MOST_TARGETS, Name, Target};

/// All entries, in the order of the file.
pub(super) fn read(text: &str) -> Result<Vec<Alias>, AliasesError> {
    if text.len() > MOST_OCTETS {
        let line = 1 + text.bytes().take(MOST_OCTETS).filter(|octet| *octet == b'\n').count();
        return Err(AliasesError { line, reason: AliasesReason::TooLarge });
    }
    let mut aliases = Vec::new();
    let mut open: Option<OpenEntry> = None;
    for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let number = number + 1;
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let at_line = |reason| AliasesError { line: number, reason };
        if line.starts_with([' ', '\t']) {
            let entry = open.as_mut().ok_or(at_line(AliasesReason::NothingToContinue))?;
            entry.take(content).map_err(at_line)?;
        } else {
            if let Some(entry) = open.take() {
                aliases.push(entry.close()?);
            }
            open = Some(OpenEntry::begin(content, number).map_err(at_line)?);
        }
    }
    if let Some(entry) = open {
        aliases.push(entry.close()?);
    }
    Ok(aliases)
}

/// An entry to which the next line may still add.
struct OpenEntry {
    alias: Alias,
    /// Whether the last word was a target, so that only a comma or the end may follow.
    is_behind_target: bool,
}

impl OpenEntry {
    fn begin(line: &str, number: usize) -> Result<Self, AliasesReason> {
        let (word, rest) = word(line, |character| character == ':' || is_space(character))?;
        let targets = rest.trim_start_matches(is_space).strip_prefix(':').ok_or(AliasesReason::NoColon)?;
        let alias = Alias { name: name(word)?, line: number, targets: Vec::new() };
        let mut entry = OpenEntry { alias, is_behind_target: false };
        entry.take(targets)?;
        Ok(entry)
    }

    /// Takes the targets of a line.
    fn take(&mut self, mut rest: &str) -> Result<(), AliasesReason> {
        loop {
            rest = rest.trim_start_matches(is_space);
            if rest.is_empty() {
                return Ok(());
            }
            if let Some(behind) = rest.strip_prefix(',') {
                if !self.is_behind_target {
                    return Err(AliasesReason::EmptyTarget);
                }
                (self.is_behind_target, rest) = (false, behind);
                continue;
            }
            if rest.starts_with('#') {
                return Err(AliasesReason::Comment);
            }
            if self.is_behind_target {
                return Err(if rest.starts_with('<') { AliasesReason::AngleBrackets } else { AliasesReason::NoComma });
            }
            let (word, behind) = word(rest, |character| character == ',' || is_space(character))?;
            let target = target(word)?;
            if self.alias.targets.len() == MOST_TARGETS {
                return Err(AliasesReason::TooManyTargets);
            }
            self.alias.targets.push(target);
            (self.is_behind_target, rest) = (true, behind);
        }
    }

    fn close(self) -> Result<Alias, AliasesError> {
        let reason = match (self.alias.targets.is_empty(), self.is_behind_target) {
            (_, true) => return Ok(self.alias),
            (true, false) => AliasesReason::NoTargets,
            (false, false) => AliasesReason::EmptyTarget,
        };
        Err(AliasesError { line: self.alias.line, reason })
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// What stands before the first character that ends a word, and the rest. Between quotes nothing ends one.
fn word(text: &str, is_end: impl Fn(char) -> bool) -> Result<(&str, &str), AliasesReason> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (place, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            character if !is_quoted && is_end(character) => return Ok(text.split_at(place)),
            _ => {}
        }
    }
    if is_quoted { Err(AliasesReason::Unbalanced) } else { Ok((text, "")) }
}

fn name(word: &str) -> Result<Name, AliasesReason> {
    if word.is_empty() {
        return Err(AliasesReason::NoName);
    }
    if let Some(domain) = word.strip_prefix('@') {
        return Ok(Name::CatchAll(domain.parse()?));
    }
    Ok(match address(word)? {
        Target::LocalPart(local_part) => Name::LocalPart(local_part),
        Target::Mailbox(mailbox) => Name::Mailbox(mailbox),
    })
}

/// A target. What aliases(5) knows besides addresses is refused by its name, quoted or not.
fn target(word: &str) -> Result<Target, AliasesReason> {
    let is_whole_quoted = word.starts_with('"') && word.ends_with('"');
    let bare = if is_whole_quoted { &word[1..] } else { word };
    if bare.starts_with(":include:") || word.starts_with(':') {
        return Err(AliasesReason::Include);
    }
    if bare.starts_with('|') {
        return Err(AliasesReason::Command);
    }
    if bare.starts_with('/') {
        return Err(AliasesReason::File);
    }
    if word.starts_with('\\') {
        return Err(AliasesReason::Backslash);
    }
    address(word)
}

/// A local part or a whole address, each with its quotes where it needs them.
fn address(word: &str) -> Result<Target, AliasesReason> {
    if word.starts_with('<') {
        return Err(AliasesReason::AngleBrackets);
    }
    match word.parse::<Mailbox>() {
        Ok(mailbox) => Ok(Target::Mailbox(mailbox)),
        Err(AddressError::NoDomain) => Ok(Target::LocalPart(local_part(word)?)),
        Err(error) => Err(error.into()),
    }
}

/// A local part reads like the one of an address.
fn local_part(word: &str) -> Result<LocalPart, AddressError> {
    let mailbox: Mailbox = format!("{word}@localhost").parse()?;
    Ok(mailbox.local_part().clone())
}
