// A program that plays many peers of one fabric daemon: each with keys of its own, the real control side of the tunnels
// (src/router/tunnels.ts), a UDP socket, and a keepalive every ten seconds, as hosts send that have something to say now and
// then. It carries no frames. Arguments: identity file of the daemon's host (cluster secrets and static key), its address, how
// many. Says `{"sessions":N}` each time another session stands: one for each peer at first, and one more for each after a line on
// stdin, as the timers of a tunnel with traffic renew them. Lives until it is killed.

import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import type { Endpoint } from '../src/base/endpoint.ts';
import { Keyring } from '../src/base/keyring.ts';
import { openTunnels } from '../src/daemon/open-tunnels.ts';
import { generateHostKeys, type HostIdentity, readIdentityFile } from '../src/host/identity-file.ts';
import { nodeCrypto } from '../src/host/node-crypto.ts';
import { nodeRandom } from '../src/host/node-random.ts';
import { SystemClock } from '../src/host/system-clock.ts';
import type { SessionKeys } from '../src/router/datapath.ts';
import { ETHERNET_BYTES } from '../src/router/frame.ts';
import type { TunnelDatapath } from '../src/router/tunnel-options.ts';
import { endpointOf } from '../src/router/tunnel-path.ts';
import {
  DatagramType,
  datagramType,
  HOP_LIMIT,
  InnerKind,
  overheadBytes,
  PROBE_BYTES_MIN,
  readReceiverIndex,
} from '../src/router/wire-format.ts';
import { MemoryStore } from '../test/fakes/memory-store.ts';
import { RecordingLog } from '../test/fakes/recording-log.ts';
import { WireSpeaker } from '../test/router/wire-speaker.ts';

/** One after the other: a daemon under a storm of handshakes asks for cookies, which is another measurement. */
const BETWEEN_HANDSHAKES_MS = 60;
const KEEPALIVE_MS = 10_000;
const UNDERLAY_MTU = 1500;
const FABRIC_PORT = 6783;

const clock = new SystemClock();

/** Starts one peer; resolves when its tunnel stands, with what makes the next session of it. */
async function startPeer(identity: HostIdentity, remote: Endpoint): Promise<() => Promise<void>> {
  const target = identity.keys;
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const sessions = new Map<number, { readonly speaker: WireSpeaker; sent: number }>();
  let established = (): void => undefined;
  const nextSession = (): Promise<void> =>
    new Promise((resolve) => {
      established = resolve;
    });
  let current: number | null = null;
  const send = (kind: InnerKind, body: Uint8Array): void => {
    const session = sessions.get(current ?? 0);
    if (session === undefined) return;
    socket.send(session.speaker.say(session.sent++, { kind, hopLimit: HOP_LIMIT }, body), remote.port, remote.ip);
  };
  const sendKeepalive = (): void => send(InnerKind.keepalive, new Uint8Array());
  const answerProbe = (datagram: Uint8Array): void => {
    const heard = sessions.get(readReceiverIndex(datagram))?.speaker.hear(datagram);
    if (heard?.inner.kind === InnerKind.probe) send(InnerKind.probeAnswer, heard.body.subarray(0, PROBE_BYTES_MIN));
  };
  const datapath: TunnelDatapath = {
    addSession: (session: SessionKeys) => {
      sessions.set(session.localIndex, { speaker: new WireSpeaker(session), sent: 0 });
    },
    useSession: (index) => {
      current = index;
      sendKeepalive();
      established();
    },
    removeSession: (index) => void sessions.delete(index),
    setPath: () => undefined, // there is only one
    setPathMtu: () => undefined, // nothing large is sent
    sendRaw: (datagram, to) => {
      const { ip, port } = endpointOf(to)!; // nothing relays here
      socket.send(datagram, port, ip);
    },
    sendKeepalive,
    sendProbe: () => undefined, // as above
    removePeer: () => undefined, // the peer is never removed
  };
  let timer: NodeJS.Timeout | undefined;
  const wake = (withinMs: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => wake(tunnels.tick([])), withinMs);
  };
  const tunnels = openTunnels(
    {
      identity: { ...identity, keys: generateHostKeys(nodeRandom, nodeCrypto) },
      keyring: new Keyring(identity, { clock, crypto: nodeCrypto, keep: () => {} }),
      crypto: nodeCrypto,
      clock,
      random: nodeRandom,
      store: new MemoryStore(),
      log: new RecordingLog(),
      genesis: { mtu: UNDERLAY_MTU - overheadBytes(4) - ETHERNET_BYTES },
      underlayMtu: UNDERLAY_MTU,
    },
    {
      datapath,
      wake,
      placed: () => {},
      turned: () => {},
      admits: () => true,
      neighbours: () => [],
      ownEndpoints: () => null,
    },
  );
  socket.on('message', (datagram, { address, port }) => {
    if (datagramType(datagram) === DatagramType.data) answerProbe(datagram);
    else tunnels.handleDatagram(datagram, { ip: address, port });
  });
  wake(0);
  tunnels.setPeer(target.peer, { staticKey: target.staticKey, endpoints: [remote] });
  const stands = nextSession();
  tunnels.sessionWanted(target.peer);
  await stands;
  setInterval(sendKeepalive, KEEPALIVE_MS);
  return () => {
    const renewed = nextSession();
    tunnels.renew(target.peer);
    return renewed;
  };
}

const [, , identityFile, ip, count] = process.argv;
const identity = readIdentityFile(identityFile!, nodeCrypto);
if (identity === null) throw new Error(`${identityFile} is not there`);
let sessions = 0;

async function sessionStands(): Promise<void> {
  process.stdout.write(`${JSON.stringify({ sessions: ++sessions })}\n`);
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_HANDSHAKES_MS));
}

const renewals: (() => Promise<void>)[] = [];
while (renewals.length < Number(count)) {
  renewals.push(await startPeer(identity, { ip: ip!, port: FABRIC_PORT }));
  await sessionStands();
}
for await (const _line of createInterface({ input: process.stdin })) {
  for (const renew of renewals) {
    await renew();
    await sessionStands();
  }
}
