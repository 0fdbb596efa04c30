// `fabric attach` and `detach`: containers without a CNI runtime. The command opens the namespace itself and passes
// its pid and descriptor number, as the CNI plugin does, so that the daemon may live in another mount namespace.

import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { request } from 'node:http';
import { FabricError } from '../../base/errors.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

interface Options {
  readonly runDir: string;
  readonly ifname?: string;
  readonly name?: string;
  readonly alias?: readonly string[];
  readonly ip?: readonly string[];
}

const IFNAME_DEFAULT = 'eth0';
const DOCKER_SOCKET = '/var/run/docker.sock';

export async function attach(
  target: string,
  { runDir, ifname = IFNAME_DEFAULT, name, alias = [], ip = [] }: Options,
): Promise<void> {
  await withNamespace(target, async (namespace, { hostname }) => {
    const answer = await new DaemonClient(runDir).post<{ addresses: readonly string[] }>('/v1/attach', {
      namespace,
      ifname,
      name: name ?? nameOf(target),
      aliases: hostname === null ? alias : [...alias, hostname],
      ips: ip,
    });
    process.stdout.write(`${answer.addresses.join('\n')}\n`);
  });
}

export async function detach(target: string, { runDir, ifname = IFNAME_DEFAULT }: Options): Promise<void> {
  await withNamespace(target, async (namespace) => {
    await new DaemonClient(runDir).post('/v1/detach', { namespace, ifname });
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
    throw new FabricError(
      'namespace-invalid',
      { what: `the network namespace ${target} can't be opened`, why: `${path}: ${(error as Error).message}` },
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

function dockerContainer(name: string): Promise<Container> {
  return new Promise((resolve, reject) => {
    const path = `/containers/${encodeURIComponent(name)}/json`;
    const fail = (why: string) =>
      reject(new FabricError('namespace-invalid', { what: `the Docker container ${name} was not found running`, why }));
    const call = request({ socketPath: DOCKER_SOCKET, path, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        if (response.statusCode !== 200) return fail(`Docker answers with status ${response.statusCode}`);
        const { State, Config } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as DockerInspection;
        const pid = State?.Pid ?? 0;
        if (pid > 0) resolve({ pid, hostname: Config?.Hostname ?? '' });
        else fail('it is not running');
      });
    });
    call.on('timeout', () => call.destroy(new Error('Docker does not answer')));
    call.on('error', (error) => fail(error.message));
    call.end();
  });
}

function podmanContainer(name: string): Container {
  try {
    const text = execFileSync('podman', ['inspect', '--format', '{{.State.Pid}} {{.Config.Hostname}}', '--', name], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    const [pid, hostname = ''] = text.trim().split(' ');
    if (Number(pid) > 0) return { pid: Number(pid), hostname };
    throw new Error('it is not running');
  } catch (error) {
    const why = (error as Error).message;
    throw new FabricError('namespace-invalid', { what: `the podman container ${name} was not found running`, why });
  }
}
