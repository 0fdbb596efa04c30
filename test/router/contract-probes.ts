// The contract's cases about probes, by which tunnels find out what their path carries (src/router/path-search.ts): a datapath
// sends and answers them by itself, within a limit, and tells the control side what came back.

import assert from 'node:assert/strict';
import { type ContractCase, dropsOf, eventsOf, KIND, OTHER, PEER, until, withPeer } from './contract-host.ts';

export const probeCases: readonly ContractCase[] = [
  withPeer(
    'a probe makes a packet of its size and names it; the answer is reported',
    async ({ host, peer, session }) => {
      for (const [index, bytes] of [1500, 576, 1280].entries()) {
        host.datapath.sendProbe(PEER, bytes);
        await until('it arrives', () => peer.heard.length === index + 1);
        const { inner, body } = session.speaker.hear(peer.heard[index]!);
        assert.deepEqual(
          [inner.kind, peer.heard[index]!.length + 28, body.readUInt16BE(0)],
          [KIND.probe, bytes, bytes],
        );
        assert.ok(body.subarray(2).every((byte) => byte === 0));
        const answer = session.speaker.say(index, { kind: KIND.probeAnswer }, body.subarray(0, 2));
        await peer.send(answer, host);
        await until('the answer is reported', () => eventsOf(host, 'probeAnswered').length === index + 1);
      }
      assert.deepEqual(eventsOf(host, 'probeAnswered'), [
        [PEER, 1500],
        [PEER, 576],
        [PEER, 1280],
      ]);
      host.datapath.sendProbe(OTHER, 1500);
      await host.settled();
      assert.deepEqual([eventsOf(host, 'sessionWanted'), host.datapath.stats().peers[0]!.lastDataSentMs], [[], null]);
    },
  ),

  withPeer('probes are answered by their size, a limited number of them', async ({ bed, host, peer, session }) => {
    const probe = (counter: number): Buffer => {
      const body = Buffer.alloc(1400 + counter);
      body.writeUInt16BE(1400 + counter);
      return session.speaker.say(counter, { kind: KIND.probe }, body);
    };
    for (let counter = 0; counter < 60; counter++) await peer.send(probe(counter), host);
    await until('fifty are answered', () => peer.heard.length === 50);
    const answers = peer.heard.map((datagram) => session.speaker.hear(datagram));
    for (const [index, { inner, body }] of answers.entries()) {
      assert.deepEqual([inner.kind, body.length, body.readUInt16BE(0)], [KIND.probeAnswer, 2, 1400 + index]);
    }
    assert.deepEqual(await dropsOf(host, PEER), { 'probe-limit': 10 });
    bed.clock.advance(20);
    await peer.send(probe(60), host);
    await until('another is', () => peer.heard.length === 51);
    assert.equal(host.datapath.stats().peers[0]!.lastDataReceivedMs, null);
  }),

  withPeer('answers are reported, a limited number of them', async ({ bed, host, peer, session }) => {
    const answer = (counter: number): Buffer =>
      session.speaker.say(counter, { kind: KIND.probeAnswer }, Buffer.from([5, counter]));
    for (let counter = 0; counter < 60; counter++) await peer.send(answer(counter), host);
    await until('all came', async () => {
      const { 'probe-limit': refused = 0 } = await dropsOf(host, PEER);
      return eventsOf(host, 'probeAnswered').length + refused === 60;
    });
    assert.deepEqual(await dropsOf(host, PEER), { 'probe-limit': 10 });
    bed.clock.advance(20);
    await peer.send(answer(60), host);
    await until('another is', () => eventsOf(host, 'probeAnswered').length === 51);
    assert.deepEqual(eventsOf(host, 'probeAnswered').at(-1), [PEER, 5 * 256 + 60]);
  }),
];
