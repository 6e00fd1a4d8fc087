//! `export`: every accepted message as a file of its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use argh::FromArgs;
use smtp_spool::{MessageId, ReadError, Reader};

use crate::failure::Failure;
use crate::show::copy;

/// Write every accepted message to DIR/ID.eml. Files that are there already are left as they are.
#[derive(FromArgs)]
#[argh(subcommand, name = "export", help_triggers("-h", "--help", "help"))]
pub(crate) struct Export {
    /// the directory for the files; made if there is none
    #[argh(positional, arg_name = "dir")]
    directory: PathBuf,
}

impl Export {
    /// Goes on behind a bad message, and ends with what was worst about it.
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let reader = Reader::open(spool)?;
        self.make_directory()?;
        let messages = reader.list().map_err(|error| Failure::input_output(format!("listing the spool: {error}")))?;
        let (mut exported, mut failure) = (0, None);
        for (id, _) in messages {
            match self.export(&reader, &id) {
                Ok(true) => exported += 1,
                Ok(false) => {}
                Err(error) => {
                    let _ = io::stderr().write_all(error.text.as_bytes());
                    failure = Some(Failure::silent(error.code));
                }
            }
        }
        writeln!(output, "{exported} messages in {:?}", self.directory).map_err(Failure::output)?;
        failure.map_or(Ok(()), Err)
    }

    fn make_directory(&self) -> Result<(), Failure> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Failure::cannot_create(format!("making {:?}: {error}", self.directory)))
            }
            _ => Ok(()),
        }
    }

    /// Writes a message under a name of its own and gives it its last name when it is whole. `false` if it has
    /// vanished.
    fn export(&self, reader: &Reader, id: &MessageId) -> Result<bool, Failure> {
        let content = match reader.content(id) {
            Err(ReadError::Missing) => return Ok(false),
            result => result.map_err(|error| Failure::read(id, &error))?,
        };
        let partial = self.directory.join(format!(".{id}.{}.partial", std::process::id()));
        let last = self.directory.join(format!("{id}.eml"));
        let cannot = |path: &Path, error: &io::Error| Failure::cannot_create(format!("writing {path:?}: {error}"));
        // Mail is for its owner's eyes.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(|error| cannot(&partial, &error))?;
        let written = copy(content, |octets| file.write_all(octets).map_err(|error| cannot(&partial, &error)));
        // A link never replaces what is there.
        let named = written.and_then(|()| match fs::hard_link(&partial, &last) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(&partial, &last) => Ok(true),
            result => result.map(|()| true).map_err(|error| cannot(&last, &error)),
        });
        let _ = fs::remove_file(&partial);
        named
    }
}

/// Whether two plain files hold the same octets. What cannot be read is not the same.
fn is_same(one: &Path, other: &Path) -> bool {
    let is_plain = |path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !is_plain(one) || !is_plain(other) {
        return false;
    }
    match (File::open(one), File::open(other)) {
        (Ok(one), Ok(other)) => BufReader::new(one).bytes().flatten().eq(BufReader::new(other).bytes().flatten()),
        _ => false,
    }
}
