//! The examples of the RFCs, both sides against each other, and what must not be believed.

use proptest::prelude::*;

use super::client::{self, Circumstances, Credentials, ExchangeError};
use super::scram::{Binding, Keys};
use super::server::{self, Refusal, Step};
use super::{Mechanism, base64};
use crate::secret::Secret;
use crate::strategies::hostile_text;

const SALT: &[u8] = b"sixteen octets..";

fn credentials(name: &str, secret: &str) -> Credentials {
    Credentials { name: name.to_owned(), secret: Secret::new(secret) }
}

fn circumstances(binding: Binding, is_binding_offered: bool) -> Circumstances {
    Circumstances { nonce: "client".into(), binding, is_binding_offered, host: "mx.example".into(), port: 587 }
}

fn in_clear() -> Circumstances {
    circumstances(Binding::None, false)
}

fn bound(octets: &[u8]) -> Binding {
    Binding::Exporter(octets.to_vec())
}

fn server(mechanism: Mechanism, binding: Binding) -> server::Exchange {
    server::Exchange::new(mechanism, "server".into(), binding).unwrap()
}

fn keys() -> Keys {
    Keys::derive(&Secret::new("pencil"), SALT, 4_096).unwrap()
}

/// Lets both talk until one is done. `Ok` is the user's name, as the server knows it, if the client is content too.
fn talk(mut client: client::Exchange, mut server: server::Exchange) -> Result<String, String> {
    let mut step = match client.initial_response() {
        Some(response) => server.handle(response.expose()),
        None => server.start(),
    };
    for _ in 0..10 {
        step = match step {
            Step::Challenge(challenge) => match client.handle(&challenge) {
                Ok(response) => server.handle(response.expose()),
                Err(error) => return Err(format!("{error:?}")),
            },
            Step::CheckPassword(name, password) if password.expose() == b"pencil" => Step::Authenticated(name),
            Step::CheckPassword(..) => Step::Refused(Refusal::Denied),
            Step::FindKeys(_) => server.keys(keys()),
            Step::Authenticated(name) => return client.finish().map(|()| name).map_err(|error| format!("{error:?}")),
            Step::Refused(refusal) => return Err(format!("{refusal:?}")),
        };
    }
    panic!("it does not end")
}

fn try_with(mechanism: Mechanism, password: &str, ours: Circumstances, theirs: Binding) -> Result<String, String> {
    let client =
        client::Exchange::new(mechanism, &credentials("ann", password), &ours).map_err(|e| format!("{e:?}"))?;
    talk(client, server(mechanism, theirs))
}

#[test]
fn each_mechanism_there_and_back() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256] {
        assert_eq!(try_with(mechanism, "pencil", in_clear(), Binding::None), Ok("ann".into()), "{mechanism}");
        assert_eq!(try_with(mechanism, "pen", in_clear(), Binding::None), Err("Denied".into()), "{mechanism}");
    }
    let plus = |ours: &[u8], theirs: &[u8]| {
        try_with(Mechanism::ScramSha256Plus, "pencil", circumstances(bound(ours), true), bound(theirs))
    };
    assert_eq!(plus(b"one", b"one"), Ok("ann".into()));
    assert_eq!(plus(b"one", b"two"), Err("Denied".into()), "somebody sits in between");
}

/// RFC 5802, 6: who knows channel bindings and is not offered them says so, and who has offered them knows then.
#[test]
fn nobody_takes_the_channel_binding_out_of_the_announcement() {
    let ours = |is_offered| circumstances(bound(b"one"), is_offered);
    let scram = |ours, theirs| try_with(Mechanism::ScramSha256, "pencil", ours, theirs);
    assert_eq!(scram(ours(false), bound(b"one")), Err("Denied".into()));
    assert_eq!(scram(ours(false), Binding::None), Ok("ann".into()));
    assert_eq!(scram(ours(true), bound(b"one")), Ok("ann".into()), "offered, and not used by choice");
    assert_eq!(scram(in_clear(), bound(b"one")), Ok("ann".into()), "a client that knows none");
    assert_eq!(
        try_with(Mechanism::ScramSha256Plus, "pencil", in_clear(), bound(b"one")),
        Err("Malformed".into()),
        "PLUS without a binding"
    );
}

/// RFC 7677, 3, both sides.
#[test]
fn the_example_of_rfc_7677() {
    let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    let circumstances = Circumstances { nonce: "rOprNGfwEbeRWgbNEkqO".into(), ..in_clear() };
    let mut client =
        client::Exchange::new(Mechanism::ScramSha256, &credentials("user", "pencil"), &circumstances).unwrap();
    assert_eq!(client.initial_response().unwrap().expose_text(), Some(first));
    assert_eq!(client.handle(challenge.as_bytes()).unwrap().expose_text(), Some(last));
    assert_eq!(client.finish(), Err(ExchangeError::ServerNotProved));
    assert!(client.handle(signature.as_bytes()).unwrap().expose().is_empty());
    assert_eq!(client.finish(), Ok(()));

    let salt = base64::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let keys = Keys::derive(&Secret::new("pencil"), &salt, 4_096).unwrap();
    let mut server =
        server::Exchange::new(Mechanism::ScramSha256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(), Binding::None);
    let server = server.as_mut().unwrap();
    assert!(matches!(server.handle(first.as_bytes()), Step::FindKeys(name) if name == "user"));
    assert!(matches!(server.keys(keys), Step::Challenge(octets) if octets == challenge.as_bytes()));
    assert!(matches!(server.handle(last.as_bytes()), Step::Challenge(octets) if octets == signature.as_bytes()));
    assert!(matches!(server.handle(b""), Step::Authenticated(name) if name == "user"));
}

/// RFC 4616, 4. Rows X109, X123, X124, X125.
#[test]
fn messages_of_plain() {
    let long = "x".repeat(255);
    for (message, expected) in [
        ("\0tim\0tanstaaftanstaaf".to_owned(), Ok(("tim", "tanstaaftanstaaf"))),
        ("tim\0tim\0secret".to_owned(), Ok(("tim", "secret"))),
        (format!("{long}\0{long}\0{long}"), Ok((&*long, &*long))),
        // RFC 4616, 4: acting as another one, which nobody may here.
        ("Ursel\0Kurt\0xipj3plmq".to_owned(), Err(Refusal::Denied)),
        ("\0\0secret".to_owned(), Err(Refusal::Denied)),
        ("\0tim\0".to_owned(), Err(Refusal::Denied)),
        ("\0\u{ad}\0secret".to_owned(), Err(Refusal::Denied)),
        ("\0tim\0\u{ad}".to_owned(), Err(Refusal::Denied)),
        ("\0t\u{7}m\0secret".to_owned(), Err(Refusal::Denied)),
        ("".to_owned(), Err(Refusal::Malformed)),
        ("tim".to_owned(), Err(Refusal::Malformed)),
        ("tim\0secret".to_owned(), Err(Refusal::Malformed)),
        ("\0tim\0secret\0".to_owned(), Err(Refusal::Malformed)),
        ("\0tim\0sec\0ret".to_owned(), Err(Refusal::Malformed)),
    ] {
        let step = server(Mechanism::Plain, Binding::None).handle(message.as_bytes());
        match (step, expected) {
            (Step::CheckPassword(name, password), Ok((expected, secret))) => {
                assert_eq!((&*name, password.expose_text()), (expected, Some(secret)));
            }
            (Step::Refused(refusal), Err(expected)) => assert_eq!(refusal, expected, "{message:?}"),
            (step, _) => panic!("{message:?}: {step:?}"),
        }
    }
}

/// Two keyboards, one password.
#[test]
fn names_and_passwords_are_prepared_on_both_sides() {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        let composed = Secret::new("pass\u{e9}");
        let stored = Keys::derive(&composed, SALT, 4_096).unwrap();
        let decomposed = credentials("re\u{301}my", "passe\u{301}");
        let mut client = client::Exchange::new(mechanism, &decomposed, &in_clear()).unwrap();
        let mut server = server(mechanism, Binding::None);
        match server.handle(client.initial_response().unwrap().expose()) {
            Step::CheckPassword(name, password) => {
                assert_eq!((&*name, password.expose()), ("r\u{e9}my", composed.expose()));
            }
            Step::FindKeys(name) => {
                assert_eq!(name, "r\u{e9}my");
                let Step::Challenge(challenge) = server.keys(stored) else { panic!("no challenge") };
                let last = client.handle(&challenge).unwrap();
                assert!(matches!(server.handle(last.expose()), Step::Challenge(_)));
            }
            step => panic!("{step:?}"),
        }
    }
}

/// Row X124: what would be another message on the wire is not sent.
#[test]
fn a_client_sends_nothing_that_means_something_else() {
    for mechanism in Mechanism::ALL {
        for (name, secret) in [("ann", ""), ("ann", "a\0b"), ("a\0b", "secret")] {
            let result = client::Exchange::new(mechanism, &credentials(name, secret), &in_clear());
            assert!(matches!(result, Err(ExchangeError::Credentials(_))), "{mechanism} {name:?} {secret:?}");
        }
    }
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        for token in ["a b", "a\u{1}b", "\u{e9}"] {
            assert!(client::Exchange::new(mechanism, &credentials("ann", token), &in_clear()).is_err());
        }
    }
}

/// RFC 7628, 4.1 and 3.2.3; what Google documents of XOAUTH2.
#[test]
fn tokens() {
    let start = |mechanism, name: &str| {
        let mut client = client::Exchange::new(
            mechanism,
            &credentials(name, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
            &in_clear(),
        )
        .unwrap();
        (client.initial_response().unwrap(), client)
    };
    let (message, mut bearer) = start(Mechanism::OAuthBearer, "user=1@example.com");
    let expected = "n,a=user=3D1@example.com,\u{1}host=mx.example\u{1}port=587\u{1}\
                    auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
    assert_eq!(message.expose_text(), Some(expected));
    assert_eq!(bearer.finish(), Ok(()));
    assert_eq!(bearer.handle(b"{\"status\":\"invalid_token\"}").unwrap().expose(), b"\x01");
    let (message, mut xoauth2) = start(Mechanism::XOAuth2, "user@example.com");
    let expected = "user=user@example.com\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
    assert_eq!(message.expose_text(), Some(expected));
    assert_eq!(xoauth2.handle(b"{\"status\":\"400\"}").unwrap().expose(), b"");
    // Nothing is left to say.
    for exchange in [&mut bearer, &mut xoauth2] {
        assert_eq!(exchange.handle(b"more").unwrap_err(), ExchangeError::Unexpected);
    }
}

#[test]
fn a_client_believes_no_server_that_has_not_proved_itself() {
    let start = || {
        let mut client =
            client::Exchange::new(Mechanism::ScramSha256, &credentials("ann", "pencil"), &in_clear()).unwrap();
        client.initial_response().unwrap();
        client
    };
    assert_eq!(start().finish(), Err(ExchangeError::ServerNotProved));
    for (challenge, expected) in [
        ("r=client,s=c2FsdA==,i=4096", ExchangeError::Unexpected),
        ("r=clever-server,s=c2FsdA==,i=4096", ExchangeError::Unexpected),
        ("r=client-server,s=,i=4096", ExchangeError::Unexpected),
        ("r=client-server,s=c2FsdA==,i=many", ExchangeError::Unexpected),
        ("m=new,r=client-server,s=c2FsdA==,i=4096", ExchangeError::Unexpected),
        ("r=client-server,s=c2FsdA==,i=4095", ExchangeError::Iterations(4_095)),
        ("r=client-server,s=c2FsdA==,i=4294967295", ExchangeError::Iterations(u32::MAX)),
    ] {
        let mut client = start();
        assert_eq!(client.handle(challenge.as_bytes()).map(|_| ()), Err(expected), "{challenge}");
        assert!(client.finish().is_err() && client.handle(b"v=").is_err());
    }
    for signature in ["v=AAAA", "v=", "e=other-error", ""] {
        let mut client = start();
        client.handle(b"r=client-server,s=c2FsdA==,i=4096").unwrap();
        assert_eq!(client.handle(signature.as_bytes()).map(|_| ()), Err(ExchangeError::ServerNotProved));
        assert!(client.finish().is_err());
    }
}

#[test]
fn a_server_takes_no_proof_of_another_exchange() {
    let begun = || {
        let mut server = server(Mechanism::ScramSha256, Binding::None);
        assert!(matches!(server.handle(b"n,,n=ann,r=client"), Step::FindKeys(_)));
        assert!(matches!(server.keys(keys()), Step::Challenge(_)));
        server
    };
    let mut client = client::Exchange::new(Mechanism::ScramSha256, &credentials("ann", "pencil"), &in_clear()).unwrap();
    client.initial_response().unwrap();
    let salt = base64::encode(SALT);
    let last = client.handle(format!("r=clientserver,s={salt},i=4096").as_bytes()).unwrap();
    let last = last.expose_text().unwrap();
    assert!(matches!(begun().handle(last.as_bytes()), Step::Challenge(_)));
    for (from, to) in [("biws", "eSws"), ("clientserver", "clientservant"), (",p=", ",x=,p="), (",p=", ",p=AAAA")] {
        let step = begun().handle(last.replace(from, to).as_bytes());
        assert!(matches!(step, Step::Refused(_)), "{from} -> {to}: {step:?}");
    }
    let mut again = begun();
    assert!(matches!(again.handle(b"c=biws"), Step::Refused(Refusal::Malformed)));
    assert!(matches!(again.handle(last.as_bytes()), Step::Refused(Refusal::Malformed)), "one try");
}

#[test]
fn first_messages_that_are_none() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,r=x,n=ann",
        "n,,n=ann",
        "n,,n=ann,r=",
        "n,,n=a=2Xnn,r=x",
        "n,,n=ann,r=a b",
        "x,,n=ann,r=x",
        "n,b=ann,n=ann,r=x",
        "n,,m=must,n=ann,r=x",
        "n,,n=ann,r=\u{e9}",
    ] {
        let step = server(Mechanism::ScramSha256, Binding::None).handle(message.as_bytes());
        assert!(matches!(step, Step::Refused(Refusal::Malformed)), "{message:?}: {step:?}");
    }
    for message in ["n,a=bob,n=ann,r=x", "n,,n=,r=x", "p=tls-unique,,n=ann,r=x"] {
        let step = server(Mechanism::ScramSha256, Binding::None).handle(message.as_bytes());
        assert!(matches!(step, Step::Refused(Refusal::Denied)), "{message:?}: {step:?}");
    }
    let step = server(Mechanism::ScramSha256, Binding::None).handle(b"n,a=a=2Cb=3D,n=a=2Cb=3D,r=x,ext=y");
    assert!(matches!(&step, Step::FindKeys(name) if name == "a,b="), "{step:?}");
}

/// RFC 5802, 7: keys of nobody look like keys.
#[test]
fn keys_as_text() {
    let keys = keys();
    let again: Keys = keys.to_text().parse().unwrap();
    assert_eq!(again.to_text(), keys.to_text());
    assert!(again.is_password(&Secret::new("pencil")) && !again.is_password(&Secret::new("pen")));
    assert!(!Keys::of_nobody(SALT, 4_096).is_password(&Secret::new("pencil")));
    assert!(Keys::of_nobody(SALT, 4_096).to_text().parse::<Keys>().is_ok());
    let text = keys.to_text();
    for wrong in [
        String::new(),
        text.replace("4096", "4095"),
        text.replace("4096", "4294967296"),
        text.replace("4096", "2000001"),
        text.replace('=', ""),
        format!("{text},"),
        text.rsplit_once(',').unwrap().0.to_owned(),
    ] {
        assert!(wrong.parse::<Keys>().is_err(), "{wrong}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let mut shown = String::new();
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::XOAuth2] {
        let client = client::Exchange::new(mechanism, &credentials("ann", "hunter2"), &in_clear()).unwrap();
        shown += &format!("{client:?}");
    }
    let mut plain = server(Mechanism::Plain, Binding::None);
    shown += &format!("{:?} {:?}", plain.handle(b"\0ann\0hunter2"), keys());
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110, 116"), "{shown}");
}

proptest! {
    #[test]
    fn no_peer_makes_a_side_panic(texts in prop::collection::vec(hostile_text(), 1..5), octets: Vec<u8>) {
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
            let mut exchange = server(mechanism, bound(b"one"));
            for message in texts.iter().map(String::as_bytes).chain([&octets[..]]) {
                if let Step::FindKeys(_) = exchange.handle(message) {
                    exchange.keys(Keys::of_nobody(SALT, 4_096));
                }
            }
        }
        for mechanism in Mechanism::ALL {
            let mut exchange = client::Exchange::new(mechanism, &credentials("ann", "pencil"), &in_clear()).unwrap();
            for message in texts.iter().map(String::as_bytes).chain([&octets[..]]) {
                let _ = exchange.handle(message);
            }
        }
    }

    #[test]
    fn names_survive_the_message(name in "[!-~é,=]{1,30}") {
        let mut client = client::Exchange::new(Mechanism::ScramSha256, &credentials(&name, "x"), &in_clear()).unwrap();
        let first = client.initial_response().unwrap();
        let step = server(Mechanism::ScramSha256, Binding::None).handle(first.expose());
        prop_assert!(matches!(&step, Step::FindKeys(found) if *found == name), "{step:?}");
    }
}
