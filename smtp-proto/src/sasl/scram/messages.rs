//! The messages of SCRAM (RFC 5802, 7): attributes of one letter, separated by commas, in a fixed order.

use super::super::base64;

/// `=` and `,` separate, so inside of a name they are written otherwise.
pub(in super::super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Undoes [`escape`]. `None` if a `=` begins neither of the two.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        text.push(character);
        text.push_str(rest);
    }
    Some(text)
}

/// The value of the attribute with this letter, which must come next.
fn take<'a>(rest: &mut std::str::Split<'a, char>, letter: &str) -> Option<&'a str> {
    rest.next()?.strip_prefix(letter)?.strip_prefix('=')
}

/// RFC 5802, 7: printable ASCII but the comma.
fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|octet| octet.is_ascii_graphic() && octet != b',')
}

/// `gs2-header client-first-message-bare`
#[derive(Debug)]
pub(in super::super) struct ClientFirst<'a> {
    /// The channel binding that the client uses, or `n` or `y` for none.
    pub(in super::super) flag: &'a str,
    /// Whom the client wants to act as; empty for "myself".
    pub(in super::super) authorisation: String,
    pub(in super::super) name: String,
    pub(in super::super) nonce: &'a str,
    /// `flag,authorisation,`, of which the final message speaks again.
    pub(in super::super) header: &'a str,
    /// Behind the header: what is signed.
    pub(in super::super) bare: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(in super::super) fn read(message: &'a [u8]) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        let (flag, rest) = message.split_once(',')?;
        let (authorisation, bare) = rest.split_once(',')?;
        let header = message.get(..message.len() - bare.len())?;
        let authorisation = match authorisation {
            "" => String::new(),
            given => unescape(given.strip_prefix("a=")?)?,
        };
        // `m=` would stand in front, and must be refused by who does not know it (RFC 5802, 5.1); other extensions behind.
        let mut rest = bare.split(',');
        let name = unescape(take(&mut rest, "n")?)?;
        let nonce = take(&mut rest, "r").filter(|nonce| is_nonce(nonce))?;
        Some(ClientFirst { flag, authorisation, name, nonce, header, bare })
    }
}

/// `r=nonce,s=salt,i=iterations`
#[derive(Debug)]
pub(in super::super) struct ServerFirst<'a> {
    pub(in super::super) nonce: &'a str,
    pub(in super::super) salt: Vec<u8>,
    pub(in super::super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(in super::super) fn read(message: &'a str) -> Option<Self> {
        let mut rest = message.split(',');
        let nonce = take(&mut rest, "r").filter(|nonce| is_nonce(nonce))?;
        let salt = base64::decode(take(&mut rest, "s")?.as_bytes()).filter(|salt| !salt.is_empty())?;
        let iterations = take(&mut rest, "i")?.parse().ok()?;
        Some(ServerFirst { nonce, salt, iterations })
    }
}

/// `c=binding,r=nonce,p=proof`
#[derive(Debug)]
pub(in super::super) struct ClientFinal<'a> {
    /// The header of the first message and the octets of the channel binding.
    pub(in super::super) binding: Vec<u8>,
    pub(in super::super) nonce: &'a str,
    pub(in super::super) proof: Vec<u8>,
    /// All before the proof: what is signed.
    pub(in super::super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(in super::super) fn read(message: &'a [u8]) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let proof = base64::decode(proof.as_bytes())?;
        let mut rest = without_proof.split(',');
        let binding = base64::decode(take(&mut rest, "c")?.as_bytes())?;
        let nonce = take(&mut rest, "r")?;
        Some(ClientFinal { binding, nonce, proof, without_proof })
    }
}
