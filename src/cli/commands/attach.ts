// `fabric attach` and `detach`: containers without a CNI runtime. The command opens the namespace itself and passes
// its pid and descriptor number, as the CNI plugin does, so that the daemon may live in another mount namespace.

import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { FabricError } from '../../base/errors.ts';
import { DockerApi } from '../../host/docker/docker-api.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

interface Options {
  readonly runDir: string;
  readonly ifname?: string;
  readonly name?: string;
  readonly alias?: readonly string[];
  readonly ip?: readonly string[];
  readonly network?: string;
}

const IFNAME_DEFAULT = 'eth0';

export async function attach(
  target: string,
  { runDir, ifname = IFNAME_DEFAULT, name, alias = [], ip = [], network }: Options,
): Promise<void> {
  await withNamespace(target, async (namespace, { hostname }) => {
    const answer = await new DaemonClient(runDir).post<{ addresses: readonly string[] }>('/v1/attach', {
      namespace,
      ifname,
      name: name ?? nameOf(target),
      aliases: hostname === null ? alias : [...alias, hostname],
      ips: ip,
      network,
    });
    process.stdout.write(`${answer.addresses.join('\n')}\n`);
  });
}

export async function detach(target: string, { runDir, ifname = IFNAME_DEFAULT, network }: Options): Promise<void> {
  await withNamespace(target, async (namespace) => {
    await new DaemonClient(runDir).post('/v1/detach', { namespace, ifname, network });
  });
}

interface Namespace {
  readonly pid: number;
  readonly fd: number;
  readonly dev: string;
  readonly ino: string;
  readonly path: string;
}

/** What of a target a runtime or the user says. */
interface Found {
  readonly path: string;
  /** Of the container, where a runtime gave it one: containers know themselves by it. */
  readonly hostname: string | null;
}

async function withNamespace(
  target: string,
  use: (namespace: Namespace, found: Found) => Promise<void>,
): Promise<void> {
  const found = await findNamespace(target);
  const { path } = found;
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new FabricError(
      'namespace-invalid',
      {
        what: `the network namespace ${target} can't be opened`,
        why: code === 'ENOENT' ? `there is no ${path}` : message,
        fix: code === 'EACCES' ? 'Run the command as root (sudo)' : whereToLook(target),
      },
      { cause: error },
    );
  }
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    await use({ pid: process.pid, fd, dev: String(dev), ino: String(ino), path }, found);
  } finally {
    closeSync(fd);
  }
}

function whereToLook(target: string): string {
  switch (splitOnce(target)[0]) {
    case 'netns':
      return 'Named ones are listed by ip netns list, and made by ip netns add';
    case '':
      return 'Name the file of a namespace, such as /run/netns/NAME or /proc/PID/ns/net';
    default:
      return 'Name a process that runs: ps lists them';
  }
}

async function findNamespace(target: string): Promise<Found> {
  const [kind, rest] = splitOnce(target);
  switch (kind) {
    case 'pid':
      if (!/^[1-9]\d{0,9}$/.test(rest)) throw usageError(`pid:${rest} is no process id`);
      return { path: `/proc/${rest}/ns/net`, hostname: null };
    case 'netns':
      if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(rest)) throw usageError(`netns:${rest} is no namespace name`);
      return { path: `/run/netns/${rest}`, hostname: null };
    case 'docker':
      return ofContainer(await dockerContainer(rest));
    case 'podman':
      return ofContainer(podmanContainer(rest));
    default:
      if (target.startsWith('/')) return { path: target, hostname: null };
      throw usageError(`${target} names no namespace`, 'Use pid:N, netns:NAME, a path, docker:NAME or podman:NAME');
  }
}

function splitOnce(target: string): [string, string] {
  const colon = target.indexOf(':');
  return colon < 0 || target.startsWith('/') ? ['', target] : [target.slice(0, colon), target.slice(colon + 1)];
}

/** The part behind `docker:`, `podman:` or `netns:` is a name that people know the container by. */
function nameOf(target: string): string {
  const [kind, rest] = splitOnce(target);
  return kind === 'docker' || kind === 'podman' || kind === 'netns' ? rest : '';
}

interface Container {
  readonly pid: number;
  readonly hostname: string;
}

function ofContainer({ pid, hostname }: Container): Found {
  return { path: `/proc/${pid}/ns/net`, hostname: hostname === '' ? null : hostname };
}

interface DockerInspection {
  readonly State?: { readonly Pid?: number };
  readonly Config?: { readonly Hostname?: string };
}

async function dockerContainer(name: string): Promise<Container> {
  try {
    const found = (await new DockerApi().get(
      `/containers/${encodeURIComponent(name)}/json`,
    )) as DockerInspection | null;
    const pid = found?.State?.Pid ?? 0;
    if (pid > 0) return { pid, hostname: found?.Config?.Hostname ?? '' };
    throw new Error(found === null ? 'Docker knows none of that name' : 'it is not running');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isAbsent = code === 'ENOENT' || code === 'ECONNREFUSED';
    throw notRunning(`the Docker container ${name}`, isAbsent ? 'Docker does not run on this host' : message, 'docker');
  }
}

function podmanContainer(name: string): Container {
  try {
    const text = execFileSync('podman', ['inspect', '--format', '{{.State.Pid}} {{.Config.Hostname}}', '--', name], {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: 'pipe',
    });
    const [pid, hostname = ''] = text.trim().split(' ');
    if (Number(pid) > 0) return { pid: Number(pid), hostname };
    throw new Error('it is not running');
  } catch (error) {
    const { code, message, stderr } = error as NodeJS.ErrnoException & { readonly stderr?: string };
    const said = stderr?.trim().split('\n').at(-1) || message;
    throw notRunning(`the podman container ${name}`, code === 'ENOENT' ? 'podman is not installed' : said, 'podman');
  }
}

function notRunning(container: string, why: string, runtime: 'docker' | 'podman'): FabricError {
  return new FabricError('namespace-invalid', {
    what: `${container} was not found running`,
    why,
    fix: `${runtime} ps lists those that run; any process is named by pid:N`,
  });
}
