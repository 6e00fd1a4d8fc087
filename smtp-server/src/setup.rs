//! From settings as they are written to a server that can be started: defaults filled in, files read, sense checked.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Uid, User};
use smtp_client::login::{self, Login, PasswordError};
use smtp_client::tls::{TlsMode, TlsOptions, TlsPolicyTable, Trust};
use smtp_server::Config;
use smtp_server::addressing::LocalAddressing;
use smtp_server::aliases::{self, Aliases};
use smtp_server::auth::Authenticator;
use smtp_server::config::MOST_THREADS;
use smtp_server::policy::LocalPolicy;
use smtp_server::proto::address::DomainName;
use smtp_server::proto::sasl::client::Credentials;
use smtp_server::recipients::Recipients;
use smtp_server::relay_route::RelayRoute;
use smtp_server::relay_tls::RelayTls;
use smtp_server::reload::{Current, CurrentAddressing, Reloader};
use smtp_server::spool::{Options as SpoolOptions, Spool};
use smtp_server::tls::{Identity, IdentityError};
use smtp_server::users::Users;

use crate::config_file::Settings;
use crate::exit::{self, Failure};
use crate::far_side::FarSide;
use crate::options::{Deliver, Options};
use crate::privileges::Account;
use crate::schedule;
use crate::sockets::Place;

/// RFC 5321, 4.5.3.1.7 and 4.5.3.1.8: what everybody must be able to receive.
const LEAST_MESSAGE_OCTETS: u64 = 64 * 1024;
const LEAST_RECIPIENTS: usize = 100;

const MOST_PEM_OCTETS: u64 = 1 << 20;

/// All that is needed to start.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where to listen, and for what; empty if nothing was said.
    pub(crate) places: Vec<Place>,
    pub(crate) spool: PathBuf,
    pub(crate) spool_options: SpoolOptions,
    /// Whom to become, if anybody.
    pub(crate) account: Option<Account>,
    pub(crate) config: Config,
    pub(crate) policy: LocalPolicy,
    pub(crate) far_side: FarSide,
    /// What keeps the addressing of both up to date.
    pub(crate) reloader: Reloader<LocalAddressing>,
    /// What keeps the certificate up to date.
    pub(crate) identity: Option<Reloader<Identity>>,
    /// What keeps the list of users up to date.
    pub(crate) users: Option<Reloader<Users>>,
    /// What keeps the policies of TLS for mail that leaves up to date.
    pub(crate) tls_policies: Reloader<TlsPolicyTable>,
}

impl Setup {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let options = &settings.options;
        if options.group.is_some() && options.user.is_none() {
            return Err(wrong("--group is of no use without --user"));
        }
        check_listeners(options).map_err(|error| wrong(format!("--{error}")))?;
        let account = match &options.user {
            Some(user) => Some(Account::find(user, options.group.as_deref())?),
            None => None,
        };
        let hostname = hostname(options);
        let reloader = addressing(settings, &hostname)?;
        let tls_policies = tls_policies(settings)?;
        let relay_tls = relay_tls(settings, tls_policies.current())?;
        let far_side = far_side(options, &hostname, reloader.current(), relay_tls, relay_login(settings)?)?;
        let identity = identity(settings)?;
        let users = users(settings)?;
        let mut config = config(options, hostname).map_err(wrong)?;
        config.auth = users.as_ref().map(|users| authenticator(options, users)).transpose()?;
        config.tls = identity.as_ref().map(|reloader| reloader.current().clone());
        Ok(Setup {
            places: Place::all(options),
            spool: options.spool.clone().unwrap_or_else(|| PathBuf::from("spool")),
            spool_options: SpoolOptions { keep_max_bytes: options.keep_max_bytes, ..SpoolOptions::default() },
            account,
            config,
            policy: match &users {
                Some(users) => policy(settings, &reloader).with_users(users.current().clone()),
                None => policy(settings, &reloader),
            },
            far_side,
            reloader,
            identity,
            users,
            tls_policies,
        })
    }

    /// Looks at what the start will use, without touching it. The start itself does so too, so that `--check` and a start
    /// say the same.
    pub(crate) fn check_places(&self) -> Result<(), Failure> {
        let user = self.account.as_ref().map_or_else(Uid::effective, |account| account.user);
        Spool::check(&self.spool, user.as_raw()).map_err(|error| exit::open(&error))?;
        self.far_side.check_layout()
    }

    /// Whether the certificate, the users and the policies of TLS can be read by whom this process has become: else they could
    /// not be read again when they change.
    pub(crate) fn check_files(&self) -> Result<(), Failure> {
        let identity = self.identity.as_ref().map_or(Ok(()), Reloader::check);
        let users = || self.users.as_ref().map_or(Ok(()), Reloader::check);
        identity.and_then(|()| users()).and_then(|()| self.tls_policies.check()).map_err(wrong)
    }
}

/// Whom mail is taken for, and from whom.
pub(crate) fn policy(settings: &Settings, reloader: &Reloader<LocalAddressing>) -> LocalPolicy {
    LocalPolicy::from(reloader.current().clone()).with_relay_from(settings.options.relay_from.clone())
}

/// What addresses mean here, and how to find out again.
pub(crate) fn addressing(settings: &Settings, hostname: &DomainName) -> Result<Reloader<LocalAddressing>, Failure> {
    let options = &settings.options;
    options.relay.clone().unwrap_or_default().check(&options.relay_from).map_err(wrong)?;
    let files = options.recipients.iter().chain(&options.aliases).cloned().collect();
    let (settings, hostname) = (settings.clone(), hostname.clone());
    Reloader::new(files, move || read_addressing(&settings, &hostname)).map_err(wrong)
}

/// What is shown to those who ask for TLS, and how to read it again.
fn identity(settings: &Settings) -> Result<Option<Reloader<Identity>>, Failure> {
    let options = &settings.options;
    let (certificate, key) = match (&options.tls_cert, &options.tls_key) {
        (None, None) if !options.listen_tls.is_empty() => {
            return Err(wrong("--listen-tls needs a certificate: add --tls-cert and --tls-key"));
        }
        (None, None) if !options.listen_submissions.is_empty() => {
            return Err(wrong("--listen-submissions needs a certificate: add --tls-cert and --tls-key"));
        }
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(wrong("--tls-cert is of no use without its key: add --tls-key")),
        (None, Some(_)) => return Err(wrong("--tls-key is of no use without its certificate: add --tls-cert")),
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
    };
    let names = (settings.name_of("tls-cert", &certificate), settings.name_of("tls-key", &key));
    let files = vec![certificate.clone(), key.clone()];
    let (key_path, key_name) = (key.clone(), names.1.clone());
    let read = move || {
        let chain = read_pem(&certificate, &names.0)?;
        Identity::from_pem(&chain, &read_pem(&key, &names.1)?).map_err(|error| match error {
            IdentityError::Certificate(what) => format!("{}: {what}", names.0),
            IdentityError::Key(what) => format!("{}: {what}", names.1),
        })
    };
    let reloader = Reloader::new(files, read).map_err(wrong)?;
    warn_of_readers(&key_path, &key_name);
    Ok(Some(reloader))
}

/// Who may log in, and how to read that again.
fn users(settings: &Settings) -> Result<Option<Reloader<Users>>, Failure> {
    let options = &settings.options;
    let Some(path) = options.users.clone() else {
        return match () {
            () if !options.listen_submission.is_empty() => {
                Err(wrong("--listen-submission is for those who can log in: add --users FILE"))
            }
            () if !options.listen_submissions.is_empty() => {
                Err(wrong("--listen-submissions is for those who can log in: add --users FILE"))
            }
            () if options.allow_plaintext_auth => Err(wrong("--allow-plaintext-auth is of no use without --users")),
            () => Ok(None),
        };
    };
    if options.tls_cert.is_none() && !options.allow_plaintext_auth {
        return Err(wrong(
            "--users is of no use without TLS, since nobody logs in in clear: add --tls-cert and --tls-key (or, to try \
             things out on this host, --allow-plaintext-auth)",
        ));
    }
    let name = settings.name_of("users", &path);
    let (users_path, users_name) = (path.clone(), name.clone());
    let read = move || {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&name, &error))?;
        Users::parse(&text).map_err(|error| format!("{name}: {error}"))
    };
    let reloader = Reloader::new(vec![users_path.clone()], read).map_err(wrong)?;
    warn_of_readers(&users_path, &users_name);
    Ok(Some(reloader))
}

fn authenticator(options: &Options, users: &Reloader<Users>) -> Result<Arc<Authenticator>, Failure> {
    let authenticator = Authenticator::new(users.current().clone())
        .map_err(|error| Failure::new(exit::SYSTEM, format!("no random octets: {error}")))?;
    Ok(Arc::new(match options.allow_plaintext_auth {
        true => authenticator.allowing_loopback_in_clear(),
        false => authenticator,
    }))
}

/// The list of destinations, and how to read it again.
fn tls_policies(settings: &Settings) -> Result<Reloader<TlsPolicyTable>, Failure> {
    let named = settings.options.tls_policy.clone().map(|path| (settings.name_of("tls-policy", &path), path));
    let files = named.iter().map(|(_, path)| path.clone()).collect();
    let read = move || match &named {
        None => Ok(TlsPolicyTable::default()),
        Some((name, path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(name, &error))?;
            TlsPolicyTable::parse(&text).map_err(|error| format!("{name}: {error}"))
        }
    };
    Reloader::new(files, read).map_err(wrong)
}

/// How mail that leaves is protected.
fn relay_tls(settings: &Settings, table: &Current<TlsPolicyTable>) -> Result<RelayTls, Failure> {
    let options = &settings.options;
    // Who tells a password wants to know to whom.
    let default = if options.relay_user.is_some() { TlsMode::Require } else { TlsMode::default() };
    let mode = options.relay_tls.unwrap_or(default);
    let is_given = [options.relay_tls.is_some(), options.relay_ca_file.is_some(), options.tls_policy.is_some()];
    match options.relay.clone().unwrap_or_default() {
        RelayRoute::None if is_given.contains(&true) => {
            return Err(wrong("--relay-tls, --relay-ca-file and --tls-policy are of no use without --relay"));
        }
        _ if mode == TlsMode::None && options.relay_ca_file.is_some() && options.tls_policy.is_none() => {
            return Err(wrong("--relay-ca-file is of no use with --relay-tls none: leave out one of them"));
        }
        RelayRoute::Mx if mode == TlsMode::Implicit => {
            return Err(wrong("--relay-tls implicit is for a smart host: mail exchangers know TLS by STARTTLS only"));
        }
        _ => {}
    }
    let trust = match &options.relay_ca_file {
        None => Trust::system(),
        Some(path) => {
            let name = settings.name_of("relay-ca-file", path);
            Trust::only(path).map_err(|error| wrong(format!("{name}: {}", error.reason())))?
        }
    };
    Ok(RelayTls::new(TlsOptions { mode, trust }, table.clone()))
}

/// Who we are at the server that takes all mail that leaves. The password may be for root alone to read, so it is read before
/// the server becomes somebody else, and not again.
fn relay_login(settings: &Settings) -> Result<Option<Login>, Failure> {
    let options = &settings.options;
    let (user, path) = match (&options.relay_user, &options.relay_password_file) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(wrong("--relay-user wants a password: add --relay-password-file")),
        (None, Some(_)) => return Err(wrong("--relay-password-file is of no use without --relay-user")),
        (Some(user), Some(path)) => (user.clone(), path),
    };
    if !matches!(options.relay, Some(RelayRoute::Smart(_))) {
        return Err(wrong("--relay-user is for --relay smart:HOST:PORT; nobody else asks who we are"));
    }
    let name = settings.name_of("relay-password-file", path);
    let secret = login::read_password(path).map_err(|error| match error {
        PasswordError::Io(error) => wrong(unreadable(&name, &error)),
        error => wrong(format!("{name}: {error}")),
    })?;
    Ok(Some(Login { credentials: Credentials { name: user, secret }, mechanism: None, in_clear: false }))
}

/// Where accepted mail goes.
fn far_side(
    options: &Options,
    hostname: &DomainName,
    addressing: &CurrentAddressing,
    relay_tls: RelayTls,
    relay_login: Option<Login>,
) -> Result<FarSide, Failure> {
    let deliver = options.deliver.clone().unwrap_or(Deliver::Keep);
    let relay = options.relay.clone().unwrap_or_default();
    // A kept message is not queued, so nobody would send it on.
    if deliver == Deliver::Keep && relay.is_relaying() {
        return Err(wrong(
            "--relay needs a place for the mail of this host: add --deliver maildir:DIR or lmtp:HOST:PORT",
        ));
    }
    if !options.dns.is_empty() && relay != RelayRoute::Mx {
        return Err(wrong("--dns is of no use without --relay mx"));
    }
    Ok(FarSide {
        deliver,
        relay,
        relay_tls,
        relay_login,
        dns: options.dns.clone(),
        schedule: schedule::schedule(options).map_err(wrong)?,
        hostname: hostname.clone(),
        has_several_domains: options.domain.len() > 1,
        addressing: addressing.clone(),
    })
}

/// The domains, and the files that are named, at the start and whenever one of them has changed.
fn read_addressing(settings: &Settings, hostname: &DomainName) -> Result<LocalAddressing, String> {
    let options = &settings.options;
    let domains = match options.domain.as_slice() {
        [] => vec![hostname.clone(), localhost()],
        given => given.to_vec(),
    };
    let mut addressing = LocalAddressing::new(domains).with_hostname(hostname.clone());
    if matches!(options.deliver, Some(Deliver::Maildir(_))) {
        addressing = addressing.with_maildirs();
    }
    if let Some(path) = &options.recipients {
        let recipients = read_recipients(path, &settings.name_of("recipients", path), &addressing)?;
        addressing = addressing.with_recipients(recipients);
    }
    if options.relay.as_ref().is_some_and(RelayRoute::is_relaying) {
        addressing = addressing.with_relaying();
    }
    if let Some(path) = &options.aliases {
        let name = settings.name_of("aliases", path);
        let aliases = read_aliases(path, &name, addressing.domains())?;
        addressing = addressing.with_aliases(aliases);
        addressing.check().map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(addressing)
}

/// The name under which the server speaks.
pub(crate) fn hostname(options: &Options) -> DomainName {
    options.hostname.clone().unwrap_or_else(own_name)
}

/// An address can be bound once. Port 0 is another port each time.
pub(crate) fn check_listeners(options: &Options) -> Result<(), String> {
    let mut seen = HashSet::new();
    let is_twice = |place: &Place| place.address.port() != 0 && !seen.insert(place.address);
    match Place::all(options).into_iter().find(is_twice) {
        Some(Place { setting, address, .. }) => Err(format!("{setting} \"{address}\": given twice")),
        None => Ok(()),
    }
}

/// Whether the values make sense, as far as one can tell without looking at anything else. An error begins with the name
/// of the setting.
pub(crate) fn check_values(options: &Options) -> Result<(), String> {
    config(options, localhost()).map(|_| ())
}

fn config(options: &Options, hostname: DomainName) -> Result<Config, String> {
    let mut config = Config::new(hostname);
    if let Some(threads) = options.threads {
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(format!("threads \"{threads}\": it must be from 1 to {MOST_THREADS}"));
        }
        config.threads = threads;
    }
    if let Some(connections) = options.max_connections_per_ip {
        config.connections_per_address = Some(at_least(connections, 1, "max-connections-per-ip")?);
    }
    if let Some(octets) = options.max_message_size {
        config.session.message_octets = at_least(octets, LEAST_MESSAGE_OCTETS, "max-message-size")?;
    }
    if let Some(recipients) = options.max_recipients {
        config.session.recipients = at_least(recipients, LEAST_RECIPIENTS, "max-recipients")?;
    }
    if let Some(mails) = options.max_messages_per_connection {
        config.session.mails = Some(at_least(mails, 1, "max-messages-per-connection")?);
    }
    config.accept_bare_lf = options.accept_bare_lf.clone();
    config.keeps_mail = options.deliver.as_ref().is_none_or(|deliver| *deliver == Deliver::Keep);
    // Who keeps mail makes no reports, and so promises none.
    config.session.dsn = !config.keeps_mail;
    // Whatever is relayed goes as RFC 8689 says, or back.
    config.session.require_tls = true;
    Ok(config)
}

fn at_least<T: PartialOrd + std::fmt::Display>(value: T, least: T, name: &str) -> Result<T, String> {
    if value < least {
        return Err(format!("{name} \"{value}\": it must be at least {least}"));
    }
    Ok(value)
}

fn wrong(text: impl Into<String>) -> Failure {
    Failure::new(exit::CONFIG, text)
}

fn read_recipients(path: &Path, name: &str, addressing: &LocalAddressing) -> Result<Recipients, String> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(name, &error))?;
    Recipients::parse_for(&text, addressing).map_err(|error| format!("{name}: {error}"))
}

/// No more is read than an alias file may hold, and one octet, by which one that is too large shows.
fn read_aliases(path: &Path, name: &str, domains: &[DomainName]) -> Result<Aliases, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(name, &error))?;
    let mut start = file.take(aliases::MOST_OCTETS as u64 + 1);
    start.read_to_string(&mut text).map_err(|error| unreadable(name, &error))?;
    Aliases::parse_for(&text, domains).map_err(|error| format!("{name}: {error}"))
}

/// Certificates are small; what is larger is some other file.
fn read_pem(path: &Path, name: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(name, &error))?;
    file.take(MOST_PEM_OCTETS + 1).read_to_end(&mut octets).map_err(|error| unreadable(name, &error))?;
    if octets.len() as u64 > MOST_PEM_OCTETS {
        return Err(format!("{name}: it has more than {MOST_PEM_OCTETS} octets, so it is no certificate and no key"));
    }
    Ok(octets)
}

/// Whoever has a key, or the keys of SCRAM, can pass for this host; from hashes, passwords can be guessed. A group is often meant
/// (`ssl-cert`), everybody never.
fn warn_of_readers(path: &Path, name: &str) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        log::warn!("{name}: everybody on this host may read it; chmod o-r it");
    }
}

/// The start may be root's, and what comes later is another user's: so it says whose.
fn unreadable(name: &str, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("{name}: {error}");
    }
    let id = Uid::effective();
    let user = User::from_uid(id).ok().flatten().map_or_else(|| id.to_string(), |user| user.name);
    format!("{name}: {error}; let the user \"{user}\" read it")
}

/// What this host calls itself, if that is a name that mail can use.
fn own_name() -> DomainName {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| name.is_ascii()).and_then(|name| name.parse().ok()).unwrap_or_else(localhost)
}

fn localhost() -> DomainName {
    DomainName::localhost()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn limits_below_the_minimum_of_the_rfc_are_refused() {
        let least = Options {
            max_message_size: Some(65_536),
            max_recipients: Some(100),
            max_messages_per_connection: Some(1),
            ..Options::default()
        };
        assert!(Setup::new(&least.clone().into()).is_ok());
        for options in [
            Options { max_message_size: Some(65_535), ..least.clone() },
            Options { max_recipients: Some(99), ..least.clone() },
            Options { max_messages_per_connection: Some(0), ..least.clone() },
            Options { threads: Some(0), ..least.clone() },
            Options { threads: Some(MOST_THREADS + 1), ..least.clone() },
            Options { max_connections_per_ip: Some(0), ..least.clone() },
            Options { group: Some("mail".into()), ..least.clone() },
            Options { recipients: Some("/nonexistent/list".into()), ..least },
        ] {
            assert_eq!(Setup::new(&options.into()).map(|_| ()).map_err(|failure| failure.code), Err(exit::CONFIG));
        }
    }

    /// Row N294.
    #[test]
    fn aliases_and_relaying() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("aliases");
        std::fs::write(&path, "sales: bob, ann@far.example\n").unwrap();
        let options = Options { aliases: Some(path.clone()), ..Options::default() };
        let failure = Setup::new(&options.clone().into()).map(|_| ()).unwrap_err();
        let expected = format!("--aliases {}: line 1: sales leads to <ann@far.example>, ", path.display());
        assert!(failure.code == exit::CONFIG && failure.text.starts_with(&expected), "{}", failure.text);

        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        let relaying = Options { relay: Some(RelayRoute::Mx), relay_from: networks.clone(), ..options };
        assert_eq!(Setup::new(&relaying.clone().into()).map(|_| ()).unwrap_err().code, exit::CONFIG);
        let relaying = Options { deliver: Some(crate::far_side::deliver("maildir:mail").unwrap()), ..relaying };
        let policy = Setup::new(&relaying.into()).unwrap().policy;
        let may_relay = |peer: &str| policy.may_relay(&peer.parse::<SocketAddr>().unwrap().into());
        assert!(may_relay("192.0.2.1:1") && !may_relay("127.0.0.1:1"));

        let without_route = Options { relay_from: networks, ..Options::default() };
        assert_eq!(Setup::new(&without_route.into()).map(|_| ()).unwrap_err().code, exit::CONFIG);
    }

    #[test]
    fn with_no_option_it_keeps_mail_beside_itself() {
        let setup = Setup::new(&Settings::default()).unwrap();
        assert_eq!(setup.spool, Path::new("spool"));
    }
}
