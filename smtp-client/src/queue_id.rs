//! The name under which a server keeps a message, as far as its last reply tells.
//!
//! No RFC says where it stands. The servers in use have four ways: `queued as ID` (Postfix, ours), `OK id=ID` (Exim),
//! `ID Message accepted for delivery` (Sendmail, OpenSMTPD), `Message queued as ID` or nothing.

use smtp_proto::reply::Reply;

/// What stands where an id stands. `None` where there is none.
pub fn of(reply: &Reply) -> Option<String> {
    reply.lines().find_map(find).map(str::to_owned)
}

fn find(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let behind_as = words.windows(3).find_map(|three| match three {
        [queued, r#as, id] if queued.eq_ignore_ascii_case("queued") && *r#as == "as" => Some(*id),
        _ => None,
    });
    let named = || words.iter().find_map(|word| word.strip_prefix("id="));
    let in_front = || match words.as_slice() {
        [id, message, accepted, ..] if message.eq_ignore_ascii_case("message") && *accepted == "accepted" => Some(*id),
        _ => None,
    };
    let id = behind_as.or_else(named).or_else(in_front)?.trim_end_matches(['.', ',', ';', ')']);
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_servers_put_it() {
        for (line, id) in [
            ("queued as 1j0abc-XY", Some("1j0abc-XY")),
            ("Ok: queued as 4D1F2A3B", Some("4D1F2A3B")),
            ("OK id=1rXaBc-000001-2D", Some("1rXaBc-000001-2D")),
            ("44xGz0123 Message accepted for delivery", Some("44xGz0123")),
            ("5abc1234 Message accepted for delivery: it is queued", Some("5abc1234")),
            ("Message accepted for delivery", None),
            ("OK", None),
            ("queued as", None),
            ("queued", None),
            ("", None),
        ] {
            assert_eq!(find(line), id, "{line}");
        }
    }
}
