import { findSystem } from '@strangler/stack/system/system.ts';

/** Ports as the pages write them, and the ports that stand for them in this run. */
export type AddressBook = {
  /** What is typed: the page's command with this run's ports. */
  toReal(text: string): string;
  /** What is read: this run's output with the page's ports. */
  toDocumented(text: string): string;
};

const consulPort = 8500;

/**
 * The pages name the ports that `npm start` takes when they are free. This run may have got others, and Consul has one of
 * its own in any case: they are read from what `npm start` has written down. `own` are ports of what pages start by themselves.
 */
export function openAddressBook(instance: string, own: ReadonlyMap<number, number>): AddressBook {
  const pairs = (): [documented: number, real: number][] => {
    const known: [number, number][] = [...own];
    const addresses = findSystem(instance)?.addresses;
    if (addresses === undefined) return known;
    const add = (documented: number, url: string | undefined): void => {
      if (url !== undefined) known.push([documented, Number(new URL(url).port)]);
    };
    add(consulPort, addresses.stack.consulUrl);
    add(3000, addresses.monolithUrl);
    addresses.catalogUrls.forEach((url, index) => void add(3101 + index, url));
    addresses.proxyUrls.forEach((url, index) => void add(8080 + 2 * index, url));
    addresses.proxyAdminUrls.forEach((url, index) => void add(8081 + 2 * index, url));
    return known;
  };
  return {
    toReal: (text) => replacePorts(text, new Map(pairs())),
    toDocumented: (text) => replacePorts(text, new Map(pairs().map(([documented, real]) => [real, documented]))),
  };
}

/** Replaces ports where they stand as one: behind `127.0.0.1:` or a `port` option. */
function replacePorts(text: string, ports: ReadonlyMap<number, number>): string {
  return text.replaceAll(/(127\.0\.0\.1:|port[ =])(\d+)\b/g, (whole, before: string, port: string) => {
    const other = ports.get(Number(port));
    return other === undefined ? whole : `${before}${other}`;
  });
}
