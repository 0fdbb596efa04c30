import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI } from '../../src/base/ids.ts';
import { DockerService, type DockerServicePorts } from '../../src/daemon/docker-service.ts';
import type { ApiRoutes } from '../../src/daemon/local-api.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { BLUE_VNI, turn } from './attachments-world.ts';
import { dockerMember } from './docker-member.ts';

type Events = Parameters<DockerServicePorts['api']['events']>;

interface FakeSocket {
  readonly routes: ApiRoutes;
  isOpen: boolean;
  /** What happens while it closes. */
  closing?: () => Promise<void>;
}

function service() {
  const timers = new ManualTimers();
  const log = new RecordingLog();
  const sockets: FakeSocket[] = [];
  const streams: { hears: Events[1]; end: (error?: Error) => void }[] = [];
  const docker = { asked: 0, canListen: true };
  const made = new DockerService({
    timers,
    log,
    random: new SeededRandom(3),
    api: {
      get: async () => {
        docker.asked++;
        return [];
      },
      events: (_filters, hears) =>
        new Promise((resolve, reject) => {
          streams.push({ hears, end: (error) => (error === undefined ? resolve() : reject(error)) });
        }),
    },
    makeSocket: (routes) => {
      const socket: FakeSocket = { routes, isOpen: false };
      return {
        listen: async () => {
          if (!docker.canListen) throw new FabricError('daemon-running', { what: 'another process is the plugin' });
          socket.isOpen = true;
          sockets.push(socket);
        },
        close: async () => {
          await socket.closing?.();
          socket.isOpen = false;
        },
      };
    },
  });
  const call = (method: string, body: unknown = {}) =>
    sockets.at(-1)!.routes[`POST /${method}`]!({
      body,
      query: new URLSearchParams(),
      closed: new AbortController().signal,
      socketFd: -1,
    });
  return { service: made, timers, log, sockets, streams, docker, call };
}

describe('the socket', () => {
  test('listens before this host is a member, and says so until it is', async () => {
    const { service: docker, call } = service();
    await docker.enable();
    expect(docker.facts()).toMatchObject({ state: 'serving', reason: null });
    expect(await call('Plugin.Activate')).toEqual({ Implements: ['NetworkDriver', 'IpamDriver'] });
    expect(await call('IpamDriver.RequestPool')).toMatchObject({ Err: expect.stringMatching(/not ready/) });
    docker.join(dockerMember().member);
    expect(await call('IpamDriver.RequestPool', { AddressSpace: 'fabric' })).toMatchObject({
      PoolID: 'fabric,10.32.0.0/12',
    });
  });

  test('goes first when the daemon ends: what it has taken is answered, and nothing else is', async () => {
    const { service: docker, call, sockets } = service();
    docker.join(dockerMember().member);
    await docker.enable();
    sockets[0]!.closing = async () => {
      expect(await call('IpamDriver.RequestPool', { AddressSpace: 'fabric' })).toMatchObject({
        PoolID: expect.anything(),
      });
    };
    await docker.close();
    expect(sockets[0]!.isOpen).toBe(false);
    expect(await call('IpamDriver.RequestPool')).toMatchObject({ Err: expect.stringMatching(/not ready/) });
  });

  test('is not there, and Docker is not asked, until it is enabled', async () => {
    const { service: docker, sockets, streams, timers } = service();
    docker.join(dockerMember().member);
    expect([docker.facts().state, sockets.length, streams.length, timers.pending]).toEqual(['off', 0, 0, 0]);
    await docker.enable();
    await docker.enable();
    expect([sockets.length, streams.length]).toEqual([1, 1]);
  });

  test('is closed when it is disabled: Docker is no longer heard, no timer is left', async () => {
    const { service: docker, sockets, streams, timers } = service();
    docker.join(dockerMember().member);
    await docker.enable();
    await docker.disable();
    expect([sockets[0]!.isOpen, streams[0]!.hears.stopped.aborted, docker.facts().state]).toEqual([false, true, 'off']);
    streams[0]!.end();
    await turn();
    expect(timers.pending).toBe(0);
  });

  test('that another process has is a fault in status, which a launch survives and a command tells', async () => {
    const { service: docker, docker: machine } = service();
    machine.canListen = false;
    await docker.enableAtStart();
    expect(docker.facts()).toMatchObject({ state: 'failed', reason: 'another process is the plugin' });
    await expect(docker.enable()).rejects.toMatchObject({ code: 'daemon-running' });
    machine.canListen = true;
    await docker.enable();
    expect(docker.facts()).toMatchObject({ state: 'serving', reason: null });
  });
});

describe('named networks', () => {
  const blue = { NetworkID: 'ab'.repeat(32), Options: { 'com.docker.network.generic': { network: 'blue' } } };

  test('are used while Docker has a network of them and the plugin is on; leases are looked after at once', async () => {
    const { service: docker, call } = service();
    const { member, seen } = dockerMember();
    docker.join(member);
    expect(docker.networksOf(BLUE_VNI)).toEqual([]);
    await docker.enable();
    expect(await call('NetworkDriver.CreateNetwork', blue)).toEqual({});
    expect([docker.networksOf(BLUE_VNI), docker.networksOf(DEFAULT_VNI), seen.woken]).toEqual([
      [blue.NetworkID],
      [],
      1,
    ]);
    await call('NetworkDriver.DeleteNetwork', { NetworkID: blue.NetworkID });
    expect(docker.networksOf(BLUE_VNI)).toEqual([]);
    await call('NetworkDriver.CreateNetwork', blue);
    await docker.disable();
    expect(docker.networksOf(BLUE_VNI)).toEqual([]);
  });

  test('are up on this host from their first Docker network to their last, also when the plugin starts again', async () => {
    const { service: docker, call } = service();
    const { member, seen } = dockerMember();
    docker.join(member);
    await docker.enable();
    const second = { ...blue, NetworkID: 'cd'.repeat(32) };
    await call('NetworkDriver.CreateNetwork', blue);
    await call('NetworkDriver.CreateNetwork', second);
    await call('NetworkDriver.DeleteNetwork', { NetworkID: second.NetworkID });
    expect([...seen.up]).toEqual([BLUE_VNI]);
    await docker.disable();
    expect([...seen.up]).toEqual([]);
    await docker.enable();
    expect([...seen.up]).toEqual([BLUE_VNI]);
    await call('NetworkDriver.DeleteNetwork', { NetworkID: blue.NetworkID });
    expect([...seen.up]).toEqual([]);
  });

  test('stay up when the daemon ends, for the next one', async () => {
    const { service: docker, call } = service();
    const { member, seen } = dockerMember();
    docker.join(member);
    await docker.enable();
    await call('NetworkDriver.CreateNetwork', blue);
    await docker.close();
    expect([...seen.up]).toEqual([BLUE_VNI]);
  });

  test('one that can not be up is logged, and Docker has its network all the same', async () => {
    const { service: docker, call, log } = service();
    const { member, seen } = dockerMember();
    seen.refusal = new Error('too many networks');
    docker.join(member);
    await docker.enable();
    expect(await call('NetworkDriver.CreateNetwork', blue)).toEqual({});
    await turn();
    expect(log.lines.map(({ event }) => event)).toContain('a network of Docker is not up on this host');
  });
});

describe("Docker's events", () => {
  test('each asks for a look, and so does the beginning of the stream', async () => {
    const { service: docker, streams, docker: machine } = service();
    docker.join(dockerMember().member);
    await docker.enable();
    expect(machine.asked).toBe(0);
    streams[0]!.hears.opened();
    await turn();
    expect(machine.asked).toBe(1);
    streams[0]!.hears.event({ Type: 'network', Action: 'connect' });
    await turn();
    expect(machine.asked).toBe(2);
  });

  test('of a container that was removed ask for none', async () => {
    const { service: docker, streams, docker: machine } = service();
    docker.join(dockerMember().member);
    await docker.enable();
    streams[0]!.hears.event({ Type: 'container', Action: 'destroy', Actor: { ID: 'c1' } });
    await turn();
    expect(machine.asked).toBe(0);
  });

  test('are heard again after Docker ended, later and later while it is not there, with one line in the log', async () => {
    const { service: docker, streams, timers, log } = service();
    docker.join(dockerMember().member);
    await docker.enable();
    const fail = async () => {
      streams.at(-1)!.end(new Error('connect ENOENT'));
      await turn();
    };
    await fail();
    expect(docker.facts().reason).toBe('connect ENOENT');
    timers.advance(1_000);
    expect(streams.length).toBe(2);
    await fail();
    timers.advance(1_999);
    expect(streams.length).toBe(2);
    timers.advance(1);
    expect(streams.length).toBe(3);
    expect(log.lines.filter(({ event }) => event.startsWith('Docker is not heard')).length).toBe(1);
    streams.at(-1)!.hears.opened();
    expect(docker.facts().reason).toBeNull();
  });
});
