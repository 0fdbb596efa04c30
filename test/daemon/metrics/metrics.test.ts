import * as prom from 'prom-client';
import { describe, expect, test } from 'vitest';
import type { MetricFacts } from '../../../src/daemon/metrics/metric-facts.ts';
import { Metrics } from '../../../src/daemon/metrics/metrics.ts';
import { LABELLED_MAX } from '../../../src/daemon/metrics/peer-series.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { someFacts, tunnel } from './some-facts.ts';

function setUp(first: MetricFacts = someFacts()) {
  const clock = new ManualClock();
  const facts = { now: first, gathered: 0 };
  const metrics = new Metrics({
    prom,
    clock,
    gather: () => {
      facts.gathered++;
      return facts.now;
    },
  });
  const scrape = async (next?: MetricFacts): Promise<readonly string[]> => {
    if (next !== undefined) facts.now = next;
    clock.advance(1_000);
    return (await metrics.text()).text.split('\n');
  };
  return { clock, facts, metrics, scrape };
}

describe('metrics', () => {
  test('say what the facts say', async () => {
    const lines = await setUp().scrape();
    expect(lines).toEqual(
      expect.arrayContaining([
        'fabric_info{version="0.1.0",nickname="one \\"quoted\\"",peer="aa",datapath="engine"} 1',
        'fabric_healthy 0',
        'fabric_problems{code="datapath"} 1',
        'fabric_notices{code="peer-dead"} 1',
        'fabric_peers{state="dead"} 1',
        'fabric_tunnels{state="established",datapath="engine"} 1',
        'fabric_tunnels{state="idle",datapath="engine"} 1',
        'fabric_peer_transmit_bytes_total{peer="bb",nickname="host-bb"} 1000',
        'fabric_transmit_bytes_total 2000',
        'fabric_receive_frames_total 40',
        'fabric_peer_handshake_seconds{peer="bb",nickname="host-bb"} 0.012',
        'fabric_drops_total{reason="replayed"} 2',
        'fabric_drops_total{reason="no-members"} 5',
        'fabric_drops_total{reason="handshake-mac1"} 7',
        'fabric_handshakes_total{result="rekeyed"} 1',
        'fabric_gossip_bytes_total{direction="sent"} 500',
        'fabric_gossip_behind_seconds 0.5',
        'fabric_lease_addresses{family="ipv4",use="free"} 253',
        'fabric_engine_cpu_seconds_total{thread="fabric-engine"} 1.25',
        'fabric_dns_events_total{kind="queries"} 9',
      ]),
    );
    expect(lines.some((line) => line.startsWith('fabric_peer_handshake_seconds{peer="cc"'))).toBe(false);
  });

  test('of a host that has not joined are few, and none is wrong', async () => {
    const lines = await setUp({ ...someFacts(), member: null }).scrape();
    expect(lines).toContain('fabric_joined 0');
    expect(lines.filter((line) => line.startsWith('fabric_tunnels{'))).toEqual([]);
  });

  test('what was, is not shown any more; sums stay', async () => {
    const { scrape } = setUp();
    await scrape();
    const lines = await scrape(someFacts({ tunnels: [tunnel('cc', { txBytes: 1500 })] }));
    expect(lines.filter((line) => line.includes('peer="bb"'))).toEqual([]);
    expect(lines).toContain('fabric_peer_transmit_bytes_total{peer="cc",nickname="host-cc"} 1500');
    expect(lines).toContain('fabric_transmit_bytes_total 2500');
  });

  test('of a thousand peers a hundred have series of their own', async () => {
    const tunnels = Array.from({ length: 1_000 }, (_, index) => tunnel(index.toString(16).padStart(4, '0')));
    const { scrape, metrics, clock } = setUp(someFacts({ tunnels }));
    const lines = await scrape();
    expect(lines.filter((line) => line.startsWith('fabric_peer_transmit_bytes_total{')).length).toBe(LABELLED_MAX);
    expect(lines).toContain('fabric_transmit_bytes_total 1000000');
    clock.advance(1_000);
    expect((await metrics.text()).text.length).toBeLessThan(200_000);
  });

  test('are gathered once a second, however many ask', async () => {
    const { metrics, facts, clock } = setUp();
    const texts = await Promise.all([metrics.text(), metrics.text()]);
    expect(texts[0]).toEqual(texts[1]);
    clock.advance(999);
    await metrics.text();
    expect(facts.gathered).toBe(1);
    clock.advance(1);
    await metrics.text();
    expect(facts.gathered).toBe(2);
  });

  test('histograms count what happens; verbs that nobody knows are one', async () => {
    const { metrics, scrape } = setUp();
    metrics.cniServed({ verb: 'ADD', ok: true, tookMs: 12 });
    metrics.cniServed({ verb: 'x'.repeat(99), ok: false, tookMs: 1 });
    metrics.eventLoopLate(3);
    metrics.caughtUp(40);
    expect(await scrape()).toEqual(
      expect.arrayContaining([
        'fabric_cni_duration_seconds_bucket{le="0.02",verb="ADD",result="ok"} 1',
        'fabric_cni_duration_seconds_bucket{le="0.01",verb="ADD",result="ok"} 0',
        'fabric_cni_duration_seconds_count{verb="other",result="failed"} 1',
        'fabric_event_loop_lag_seconds_bucket{le="0.005"} 1',
        'fabric_gossip_convergence_seconds_sum 0.04',
      ]),
    );
  });
});
