// Two hosts that cannot exchange a packet reach each other by a third, which cannot read what it passes on: first in a cluster whose
// ends never were linked, then on a path that breaks under a TCP connection, in one direction and in both, and heals in between, at last
// when the third is revoked. With FABRIC_LONG=relays the cluster then turns from its token alone to an operator's certificates, host by host, while all goes by the relay.

import { test } from 'tap';
import { countPackets, holdsText } from '../lab/capture-file.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { certificateFlags, giveCertificate, OperatorCa } from '../lab/operator-ca.ts';
import { inWords, ProbePair, silenceOf } from '../lab/probe.ts';
import type { ProbeReport } from '../lab/probe-agent.ts';
import { TcpStream } from '../lab/tcp-stream.ts';

const IS_LONG = process.env.FABRIC_LONG === 'relays';
/** In what a ping carries, in hex and as it stands in a capture. */
const SECRET = { hex: '66616272696320736563726574', text: 'fabric secret' };
const RELAYED_MAX_MS = 5_000;
/** Without a word of the revocation it takes 2.5 s of silence and a handshake. */
const REVOKED_MAX_MS = 2_500;
/** Tries of a relayed tunnel are 20 s apart by then, unless a link of the mesh opens before; a handshake takes no time. */
const DIRECT_MAX_MS = 22_000;

interface Ends {
  readonly near: LabHost;
  readonly far: LabHost;
}

async function tunnelOf({ near, far }: Ends) {
  const { tunnels } = await near.status();
  return tunnels.find(({ nickname }) => nickname === far.name) ?? null;
}

async function relayOf(ends: Ends): Promise<string | null> {
  return (await tunnelOf(ends))?.relay ?? null;
}

/** The time from now until both tunnels go by the relay, or (null) by none. */
async function untilBoth(a: LabHost, c: LabHost, relay: string | null, timeoutMs: number): Promise<number> {
  const startedMs = performance.now();
  const goes = async (near: LabHost, far: LabHost): Promise<boolean> => (await relayOf({ near, far })) === relay;
  const what = relay === null ? 'both go directly' : 'both go by the relay';
  await eventually(what, async () => (await goes(a, c)) && (await goes(c, a)), { timeoutMs });
  return performance.now() - startedMs;
}

test('hosts that cannot reach each other speak by a third', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];
  await lab.partition([a], [c]);
  await b.launch();
  const token = await b.token();
  await Promise.all([a, c].map((host) => host.launch({ join: b, token })));
  for (const host of [a, b, c]) await host.waitReady(2);
  const [onA, onC] = [await a.container('on-a'), await c.container('on-c')];
  const relay = (await b.status()).self.id;

  await t.test('from the start', async (t) => {
    const wire = await lab.capture('underlay');
    const bridge = await lab.captureIn(b, 'fabric0', 'bridge');
    await eventually('the containers talk', () => onA.pings(onC.ip, ['-p', SECRET.hex]));
    t.ok(await onC.pings(onA.ip6, ['-p', SECRET.hex]), 'and back, by IPv6');
    const { stdout } = await onA.run(['ping', '-c', '10', '-i', '0.05', onC.ip]);
    t.comment(`by the relay: ${stdout.trim().split('\n').at(-1)}`);
    for (const [near, far] of [
      [a, c],
      [c, a],
    ] as const) {
      const tunnel = await tunnelOf({ near, far });
      t.match(tunnel, { state: 'established', relay, endpoint: null, encrypted: true }, `${near.name} names the relay`);
      t.match(tunnel?.reason, /^by relay b: no answer from .*:6783/, 'and why it needs one');
    }
    const doctor = await a.fabric(['doctor', 'c', '--json'], { mayFail: true });
    const { findings } = JSON.parse(doctor.stdout) as { findings: readonly { code: string; severity: string }[] };
    const calm = [{ code: 'peer-relayed', severity: 'warning' }];
    t.match(findings, calm, 'doctor names the relay, calmly');
    t.equal(findings.length, calm.length, 'and what it adds is no fault of the underlay');
    const trace = await a.fabric(['trace', onA.ip, onC.ip]);
    t.match(trace.stdout, /b passes it on/, 'a trace has the relay as a hop');
    t.notOk(await holdsText(await wire.stop(), SECRET.text), 'nothing readable is on the wire');
    t.equal(await countPackets(await bridge.stop(), `host ${onC.ip}`), 0, 'nor on the bridge of the relay');
  });

  await t.test('hosts without a link are alive and well', async (t) => {
    for (const host of [a, c]) {
      const { health, peers } = await host.status();
      t.same([health.problems, peers.map(({ state }) => state)], [[], ['alive', 'alive']], `${host.name} is calm`);
      const kinds = (await host.events()).map(({ kind }) => kind);
      t.notOk(kinds.includes('peer-dead'), `${host.name} has called nobody dead`);
      t.ok(kinds.includes('tunnel-relayed'), 'the relay is an event');
    }
  });

  await t.test('a TCP connection lives through every change of path', async (t) => {
    const stream = await TcpStream.start(lab, { from: onA, to: onC }, { rate: '20M' });
    await lab.heal();
    t.comment(`direct ${Math.round(await untilBoth(a, c, null, DIRECT_MAX_MS))} ms after the path was open`);
    await stream.carries();
    await lab.drop(a, c);
    t.comment(`relayed ${Math.round(await untilBoth(a, c, relay, RELAYED_MAX_MS))} ms after one direction was cut`);
    await stream.carries();
    await lab.drop(c, a);
    await stream.carries();
    t.equal(await relayOf({ near: a, far: c }), relay, 'and goes on by it when both are');
    await stream.stop();
  });

  if (!IS_LONG) {
    await t.test('TM33 a relay that is revoked gives way to another host at once', async (t) => {
      const d = await lab.host('d');
      await d.launch({ join: c, token });
      await d.waitReady(3);
      const other = (await d.status()).self.id;
      const probes = await ProbePair.start(lab, onA, onC);
      const report = await probes.during(async () => {
        await a.fabric(['revoke', 'b']);
        await untilBoth(a, c, other, RELAYED_MAX_MS);
      });
      await probes.stop();
      t.comment(`b is revoked: ${inWords(silenceOf([report]))}`);
      t.ok(report.silenceMs < REVOKED_MAX_MS, 'the network is back before its silence would have been noticed');
      for (const host of [a, c, d]) {
        t.notOk(
          (await host.status()).tunnels.some(({ peer }) => peer === relay),
          `${host.name} has no tunnel to it`,
        );
      }
    });
    return;
  }
  await t.test('turns over to certificates host by host', async (t) => {
    const ca = new OperatorCa(b.directory, 'ca');
    const probes = await ProbePair.start(lab, onA, onC);
    const reports: ProbeReport[] = [];
    for (const demands of [false, true]) {
      for (const host of [a, b, c]) {
        if (!demands) giveCertificate(host, ca.issue(host.name), [ca]);
        reports.push(
          await probes.during(async () => {
            await host.kill('TERM');
            await host.launch({ flags: certificateFlags(host, { demands }) });
            await host.waitReady(2);
          }),
        );
      }
    }
    await probes.stop();
    t.comment(`six restarts: ${inWords(silenceOf(reports))}`);
    t.equal(silenceOf(reports).lost, 0, 'no packet is lost');
    for (const host of [a, b, c]) {
      const { certificate, health } = await host.status();
      t.match(certificate, { name: `O=example, CN=${host.name}`, demanded: true, reason: null });
      t.same([health.problems, health.notices], [[], []], `${host.name} is calm`);
    }
    t.equal(await relayOf({ near: a, far: c }), relay, 'by the relay as before');
  });
});
