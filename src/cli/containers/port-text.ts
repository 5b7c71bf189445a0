import type { ContainerPort } from '../../engine/containers/container-networks.ts'
import type { PublishedPort } from '../../networks/network.ts'

/** An address of the host with a port: `0.0.0.0:8080`, `[::]:8080`. */
export function hostPortText({ hostAddress, hostPort }: Pick<PublishedPort, 'hostAddress' | 'hostPort'>): string {
  return `${hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress}:${hostPort}`
}

interface Run {
  readonly address: string
  readonly protocol: string
  readonly first: number
  last: number
}

/**
 * Ports as docker's tables show them: those that are not published, then where each is published. Neighbours are drawn
 * together where host and container have the same numbers.
 */
export function portsText(ports: readonly ContainerPort[]): string {
  const plain = runsOf(
    ports
      .filter(({ published }) => published.length === 0)
      .map(({ port, protocol }) => ({ address: '', protocol, port })),
  )
  const same = ports.flatMap(({ port, protocol, published }) =>
    published
      .filter(({ hostPort }) => hostPort === port)
      .map(({ hostAddress }) => ({ address: hostAddress, protocol, port })),
  )
  const shifted = ports.flatMap(({ port, protocol, published }) =>
    published.filter(({ hostPort }) => hostPort !== port).map((one) => `${hostPortText(one)}->${port}/${protocol}`),
  )
  return [
    ...plain.map((run) => `${rangeText(run)}/${run.protocol}`),
    ...runsOf(same).map((run) => {
      const address = run.address.includes(':') ? `[${run.address}]` : run.address
      return `${address}:${rangeText(run)}->${rangeText(run)}/${run.protocol}`
    }),
    ...shifted,
  ].join(', ')
}

function rangeText({ first, last }: Run): string {
  return first === last ? String(first) : `${first}-${last}`
}

function runsOf(
  ports: readonly { readonly address: string; readonly protocol: string; readonly port: number }[],
): Run[] {
  const runs: Run[] = []
  for (const { address, protocol, port } of ports) {
    const run = runs.find((one) => one.address === address && one.protocol === protocol && one.last + 1 === port)
    if (run === undefined) runs.push({ address, protocol, first: port, last: port })
    else run.last = port
  }
  return runs
}
