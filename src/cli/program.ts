// What the fabric command understands: its verbs, their arguments, options and help. What a verb does stands in commands/ and is
// loaded when it runs (`later`), so that help takes little longer than Node itself, and a verb pays for nothing but its own.

import { Argument, Command } from 'commander';
import { STATUS_SECTIONS } from '../daemon/status-types.ts';
import { VERSION } from '../daemon/version.ts';
import type { Shell } from './completion.ts';
import { CNI_BIN_DIR, CNI_CONF_DIR, RUN_DIR, STATE_DIR } from './default-places.ts';

const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

const attaching = () => import('./commands/attach.ts');
const networkVerbs = () => import('./commands/network.ts');
const dnsVerbs = () => import('./commands/dns.ts');
const setupVerbs = () => import('./commands/setup.ts');
const dialling = () => import('./commands/connect.ts');
const lifecycle = () => import('./commands/lifecycle.ts');

const INTRO = `fabric: one encrypted Ethernet segment for the containers of all your hosts.

On the first host:   fabric launch
On the next:         the line that the first one prints, e.g.
                     fabric launch --join 192.0.2.1 --token-file -
Then containers:     by CNI (type "fabric"), or: fabric attach netns:NAME
And to see it:       fabric status`;

export function buildProgram(): Command {
  const program = new Command('fabric');
  program
    .description(INTRO)
    .version(`fabric ${VERSION}`, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .showSuggestionAfterError(true)
    .showHelpAfterError('  do:  options stand after the verb (fabric status --json); fabric --help lists the verbs')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`fabric: ${text.replace(/^error: /, '')}`) });

  verb(program, 'launch', 'start fabric on this host: create a cluster, join one, or resume')
    .option('--join <host[:port]>', 'join the cluster of that host (repeatable)', collect, [])
    .option('--token-file <file>', "read the cluster's token from a file, - for standard input")
    .option('--token <token>', "the cluster's token; --token-file keeps it out of the shell's history")
    .option(
      '--ca <file|off>',
      'let in only hosts with a certificate of these CAs (PEM; beside the token, see docs/keys.md)',
    )
    .option('--cert <file|off>', 'show this certificate of this host (PEM)')
    .option('--key <file|off>', 'its private key (PEM, mode 0600)')
    .option('--init', 'with a token: this is the first host of a new cluster')
    .option('--range <cidr>', "the cluster's IPv4 addresses (default 10.32.0.0/12; first host only)")
    .option('--range6 <cidr|off>', "the cluster's IPv6 addresses (default a random ULA /48; first host only)")
    .option(
      '--lease-time <time>',
      'how long a host keeps its blocks after its peers have last heard of it, or off (default 24h)',
    )
    .option('--lease-prefix <n>', 'prefix length of the blocks that hosts lease (default 24; first host only)')
    .option('--nickname <name>', 'what people call this host (default: its host name)')
    .option('--listen <addr>', 'local address for mesh and tunnels (default: all)')
    .option('--advertise <addr>', 'address that peers shall use (repeatable; default: found out)', collect, [])
    .option('--port <n>', 'TCP and UDP port of mesh and tunnels (default 6783)')
    .option('--bridge <name>', 'name of the bridge (default fabric0)')
    .option(
      '--datapath <name>',
      'auto (engine, or pcap where it does not work), engine, pcap or vxlan (see docs/vxlan.md)',
    )
    .option('--trusted-subnets <cidrs>', "hosts there get plain VXLAN where they trust this one, too (or 'off')")
    .option('--mtu <n>', 'overlay MTU in bytes (default: path MTU less overhead; first host only)')
    .option('--dns', 'serve names of containers on the gateway address (the default)')
    .option('--no-dns', 'serve none')
    .option('--dns-domain <name>', 'domain of the containers (default fabric.internal)')
    .option(
      '--dns-upstream <addr>',
      "ask that server what is not ours (repeatable; default: the host's own, 'host' goes back to them)",
      collect,
      [],
    )
    .option('--dns-order <order>', 'rotate (default): each container of a name in turn, or nearest: those nearby first')
    .option('--docker', 'be a network plugin of Docker (see docs/docker.md)')
    .option('--no-docker', 'no longer be one (the default)')
    .option('--setup-cni', "what 'fabric setup cni' does, as soon as containers can be attached")
    .option('--http <addr:port|off>', 'metrics, health, status and events for reading (default 127.0.0.1:6784)')
    .option('--detach', 'return when ready, go on in the background')
    .option('--log-level <level>', 'debug, info, warn or error (default info)')
    .action(later(() => import('./commands/launch.ts'), 'launch'));

  verb(program, 'status', 'explain the network: is it healthy, who is there, what goes where')
    .argument('[section]', STATUS_SECTIONS.join('|'))
    .argument('[which]', 'only what is called so: a nickname, id, MAC, address, block or name')
    .option('--json', 'for programs; stable, documented in docs/status.md')
    .option('--watch', 'show it every second, with what flows')
    .option('--wait', 'return once healthy with all known peers alive')
    .option('--timeout <time>', 'with --wait: give up with exit code 1 (default 30s)')
    .option('--peer <host>', 'in a section: only what is about that host')
    .option('--state <state>', 'in a section: only what has that state')
    .option('--network <name>', 'in a section: only what is of that network')
    .option('--limit <n>', 'show at most so many rows')
    .action(later(() => import('./commands/status.ts'), 'status'));

  verb(program, 'doctor', 'examine this host and its peers: what is wrong, why it matters, what mends it')
    .argument('[peer]', 'only this peer: nickname, peer id or its beginning (default: all, at most 64)')
    .option('--port <n>', 'without a daemon: the port that it will use (default 6783)')
    .option('--range <cidr>', 'without a daemon: the addresses that the cluster will have (default 10.32.0.0/12)')
    .option('--json', 'for programs; documented in docs/doctor.md')
    .action(later(() => import('./commands/doctor.ts'), 'doctor'));

  verb(program, 'trace', 'the way of a frame, hop by hop, with what decides each, and where it dies')
    .argument('<from>', 'a container of this host (name, id, MAC, address), or host')
    .argument('<to>', 'a container, MAC, address or name anywhere on the overlay')
    .option('--network <name>', 'within that network (default fabric)')
    .option('--json', 'for programs; described in docs/openapi.json')
    .action(later(() => import('./commands/trace.ts'), 'trace'));

  verb(program, 'capture', 'decrypted frames of the overlay as pcapng: fabric capture | tcpdump -n -r -')
    .argument('[what...]', 'a peer or a container of this host, if any, then a pcap filter (man 7 pcap-filter)')
    .option(
      '--network <name>',
      'of that network; without a peer or container: all that leaves for other hosts and comes',
    )
    .option('--write <file>', 'to a file instead of standard output')
    .option('--count <n>', 'end after so many frames', '1000000')
    .option('--bytes <n>', 'end before the capture is larger', '1073741824')
    .option('--seconds <n>', 'end after so long', '3600')
    .option('--snap <n>', 'keep so many bytes of each frame', '65535')
    .action(later(() => import('./commands/capture.ts'), 'capture'));
  verb(program, 'events', 'what happened on this host, and what happens from now on')
    .option('--json', 'one object per line, documented in docs/events.md')
    .option('--once', 'end after what is there')
    .option('--kind <kinds>', 'only these, with commas between')
    .option('--limit <n>', 'begin with the last n (default 50)')
    .action(later(() => import('./commands/events.ts'), 'events'));

  verb(program, 'attach', "give a container's network namespace an interface on the overlay")
    .argument('<namespace>', 'pid:N, netns:NAME, a path, docker:NAME or podman:NAME')
    .option('--ifname <name>', 'interface name inside the namespace (default eth0)')
    .option('--name <name>', "the container's name")
    .option('--alias <name>', 'a further name (repeatable)', collect, [])
    .option('--ip <cidr>', 'this address (repeatable: one of each family)', collect, [])
    .option('--network <name>', 'network to join (default fabric)')
    .action(later(attaching, 'attach'));
  verb(program, 'detach', 'take that interface away and free its addresses')
    .argument('<namespace>', 'as given to attach')
    .option('--ifname <name>', 'interface name inside the namespace (default eth0)')
    .option('--network <name>', 'network to leave (default fabric)')
    .action(later(attaching, 'detach'));
  verb(program, 'ps', 'list what is attached on this host')
    .option('--json', 'for programs')
    .option('--prune', 'free what runtimes left behind: its network namespace is gone')
    .option('--idle', 'with --prune: also where the namespace is still there but holds no process')
    .action(later(() => import('./commands/ps.ts'), 'ps'));

  const network = group(program, 'network', 'networks beside the default one, each apart from all others');
  verb(network, 'create', 'make a network; prints its id')
    .argument('<name>')
    .option('--range <cidr>', 'IPv4 range (default: a /16 that nobody uses)')
    .option('--range6 <cidr>', "IPv6 range, or 'off' (default: an own /48)")
    .option('--lease-prefix <n>', 'prefix length of the blocks that hosts lease (default 24)')
    .option('--internal', 'without gateway: no way out, and the range may be in use elsewhere')
    .action(later(networkVerbs, 'networkCreate'));
  verb(network, 'ls', 'list all networks').option('--json', 'for programs').action(later(networkVerbs, 'networkList'));
  verb(network, 'inspect', 'all about one network, as JSON')
    .argument('<name>')
    .action(later(networkVerbs, 'networkInspect'));
  verb(network, 'rm', 'remove a network that no container is in')
    .argument('<name>')
    .action(later(networkVerbs, 'networkRemove'));

  const dns = group(program, 'dns', 'names of containers, and names that you add to them');
  verb(dns, 'add', 'give a name to addresses; with a container behind an address, for as long as that runs')
    .argument('<name>')
    .argument('<ip...>')
    .option('--network <name>', 'a name of that network (default fabric)')
    .action(later(dnsVerbs, 'dnsAdd'));
  verb(dns, 'rm', 'take back what dns add gave on this host: these addresses, or the whole name')
    .argument('<name>')
    .argument('[ip...]')
    .option('--network <name>', 'a name of that network (default fabric)')
    .action(later(dnsVerbs, 'dnsRemove'));
  verb(dns, 'ls', 'list all names of the cluster')
    .option('--network <name>', 'only those of that network')
    .option('--json', 'for programs')
    .action(later(dnsVerbs, 'dnsList'));
  verb(dns, 'lookup', 'what the name server would answer')
    .argument('<name|ip>')
    .option('--network <name>', "as that network's gateway (default fabric)")
    .action(later(dnsVerbs, 'dnsLookup'));

  const setup = group(program, 'setup', 'let other programs of this host use fabric');
  verb(setup, 'cni', 'install the CNI plugin and a configuration for container runtimes')
    .option('--conf-dir <dir>', 'where runtimes read CNI configurations', CNI_CONF_DIR)
    .option('--bin-dir <dir>', 'where they find CNI plugins', CNI_BIN_DIR)
    .option('--remove', 'take both away')
    .action(later(setupVerbs, 'setupCni'));
  verb(setup, 'systemd', 'install a systemd unit; it starts nothing by itself')
    .option('--unit-dir <dir>', 'where systemd finds units', '/etc/systemd/system')
    .option('--remove', 'take it away')
    .action(later(setupVerbs, 'setupSystemd'));
  verb(setup, 'docker', 'be a network plugin of Docker, now and after each launch (docs/docker.md)')
    .option('--remove', 'no longer be one')
    .action(later(setupVerbs, 'setupDocker'));

  verb(program, 'token', "print the cluster's token, which new hosts need to join")
    .argument('[action]', 'rotate: put another token in its place (docs/keys.md)')
    .option(
      '--grace <time>',
      'with rotate: how long the old token still lets in new hosts, 24h, 90m or 0 (default 24h)',
    )
    .option('--generate', 'make a new token offline, for unattended installs')
    .action(later(() => import('./commands/token.ts'), 'token'));
  verb(program, 'connect', 'dial that host now and remember it')
    .argument('<host>')
    .option('--replace', 'in the place of all that were to be dialled')
    .action(later(dialling, 'connect'));
  verb(program, 'forget', 'no longer dial that host').argument('<host>').action(later(dialling, 'forget'));
  verb(
    program,
    'rmpeer',
    'declare a host that is off gone for good: it is let in no more, its addresses go to this host',
  )
    .argument('<peer>', "nickname, peer id or its beginning ('fabric status peers')")
    .action(later(() => import('./commands/rmpeer.ts'), 'rmpeer'));
  verb(program, 'revoke', 'shut a host in wrong hands out, alive or not, and replace the token, which it may know')
    .argument('<peer>', "nickname, peer id or its beginning ('fabric status peers')")
    .action(later(() => import('./commands/revoke.ts'), 'revoke'));
  verb(program, 'unhold', 'let a MAC or address that moved too often move to this host now (see docs/mobility.md)')
    .argument('<what>', 'the MAC or the address')
    .option('--network <name>', 'of that network (default: the default one)')
    .action(later(() => import('./commands/unhold.ts'), 'unhold'));
  verb(program, 'expose', 'give this host its address on the overlay (the default)').action(later(lifecycle, 'expose'));
  verb(program, 'hide', 'take that address away').action(later(lifecycle, 'hide'));
  verb(program, 'stop', "stop the daemon; containers' interfaces and leases stay")
    .option('--leave', 'for longer: give the address blocks that nothing uses to a peer first')
    .action(later(lifecycle, 'stop'));
  verb(program, 'reset', 'leave the cluster: give leases back, remove all that fabric made on this host')
    .option('--yes', 'do not ask')
    .option('--force', 'also when containers would be cut off or no peer takes the leases')
    .action(later(lifecycle, 'reset'));

  program
    .command('completion')
    .description('print the script that completes this command in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action(async (shell: Shell) => (await import('./commands/completion.ts')).completion(shell, program));
  program
    .command('manual')
    .description('print the manual page; to read it: fabric manual | man -l -')
    .option('--markdown', 'as docs/cli.md')
    .action(async (flags) => (await import('./commands/manual.ts')).manual(flags, program));

  return program;
}

type Action = (...args: never[]) => void | Promise<void>;

/** The action of that name, whose module is loaded when the verb runs. */
function later<Name extends string>(
  load: () => Promise<Readonly<Record<Name, Action>>>,
  name: Name,
): (...args: unknown[]) => Promise<void> {
  return async (...args) => (await load())[name](...(args as never[]));
}

/** Verbs with a word before them. */
function group(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .showHelpAfterError(`  do:  fabric ${name} --help lists its verbs`);
}

/** Every verb knows where the daemon lives; options stand after the verb. */
function verb(program: Command, name: string, description: string): Command {
  const words = program.parent === null ? name : `${program.name()} ${name}`;
  return program
    .command(name)
    .description(description)
    .showHelpAfterError(`  do:  fabric ${words} --help`)
    .option('--state-dir <dir>', 'durable state', process.env.FABRIC_STATE_DIR ?? STATE_DIR)
    .option('--run-dir <dir>', 'socket of the daemon', process.env.FABRIC_RUN_DIR ?? RUN_DIR);
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
