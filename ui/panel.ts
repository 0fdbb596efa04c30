// The words beside the map: whether all is well, what a search finds, what is known of the selected host, and what happens. All
// text of the network goes into the page as text, never as markup.

import { bitRate, bytes } from '../src/cli/table.ts';
import type { FabricEvent } from '../src/daemon/events/event-kinds.ts';
import type { Status } from '../src/daemon/status-types.ts';
import type { HostNode } from './model.ts';

const EVENTS_SHOWN = 40;
const CONTAINERS_SHOWN = 30;

export class Panel {
  readonly #verdict = element('verdict');
  readonly #found = element('found');
  readonly #details = element('details');
  readonly #events = element('events');

  health({ health: { ok, problems, notices }, peers, self }: Status): void {
    const [worst] = [...problems, ...notices];
    const verdict = ok ? 'healthy' : 'NOT HEALTHY';
    const more = worst === undefined ? '' : `: ${worst.what} (${worst.why}). ${worst.fix}`;
    this.#verdict.className = ok ? '' : 'bad';
    this.#verdict.textContent = `${self.nickname}, ${peers.length + 1} hosts, ${verdict}${more}`;
  }

  lost(): void {
    this.#verdict.className = 'bad';
    this.#verdict.textContent = 'the daemon does not answer; waiting for it. What is shown is how it was.';
  }

  /** Newest on top. */
  happened(events: readonly FabricEvent[]): void {
    for (const { time, what } of events) {
      const item = document.createElement('li');
      const clock = document.createElement('time');
      clock.dateTime = time;
      clock.textContent = new Date(time).toLocaleTimeString();
      item.append(clock, what);
      this.#events.prepend(item);
    }
    while (this.#events.childElementCount > EVENTS_SHOWN) this.#events.lastElementChild?.remove();
  }

  found(hits: readonly { readonly host: HostNode; readonly why: string }[], pick: (host: HostNode) => void): void {
    this.#found.replaceChildren(
      ...hits.map(({ host, why }) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.textContent = why;
        button.addEventListener('click', () => pick(host));
        const line = document.createElement('div');
        line.append(button);
        return line;
      }),
    );
  }

  details(host: HostNode | null): void {
    if (host === null) {
      this.#details.replaceChildren();
      return;
    }
    const { tunnel } = host;
    const heading = document.createElement('h2');
    heading.textContent = host.isSelf ? `${host.nickname} (this host)` : host.nickname;
    const facts: readonly (readonly [string, string | null | undefined])[] = [
      ['id', host.id],
      ['state', host.state],
      ['endpoint', tunnel?.endpoint ?? host.endpoint],
      ['tunnel', tunnel === null ? null : `${tunnel.state}, ${tunnel.datapath}${tunnel.encrypted ? '' : ', plain'}`],
      ['because', tunnel?.reason],
      ['round trip', tunnel?.rttMs == null ? null : `${tunnel.rttMs.toFixed(1)} ms`],
      ['flows', tunnel === null ? null : bitRate(host.flow)],
      ['sent', tunnel === null ? null : bytes(tunnel.txBytes)],
      ['received', tunnel === null ? null : bytes(tunnel.rxBytes)],
      ['owns', `${host.addresses} IPv4 addresses`],
      ['holds', `${host.containers.length} interfaces`],
    ];
    this.#details.replaceChildren(heading, definitions(facts), containerList(host));
  }
}

function definitions(facts: readonly (readonly [string, string | null | undefined])[]): HTMLElement {
  const list = document.createElement('dl');
  for (const [label, value] of facts) {
    if (value === null || value === undefined) continue;
    const term = document.createElement('dt');
    term.textContent = label;
    const definition = document.createElement('dd');
    definition.textContent = value;
    list.append(term, definition);
  }
  return list;
}

function containerList({ containers }: HostNode): HTMLElement {
  const list = document.createElement('ul');
  for (const { mac, ips, names } of containers.slice(0, CONTAINERS_SHOWN)) {
    const item = document.createElement('li');
    item.textContent = [names[0] ?? mac, ...ips].join('  ');
    list.append(item);
  }
  if (containers.length > CONTAINERS_SHOWN) {
    const rest = document.createElement('li');
    rest.textContent = `and ${containers.length - CONTAINERS_SHOWN} more`;
    list.append(rest);
  }
  return list;
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}
