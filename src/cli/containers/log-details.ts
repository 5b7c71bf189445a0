import { type Container } from '../../containers/container.ts'
import { commandLine } from '../../containers/settings.ts'
import { renderTemplate } from '../go-template/go-template.ts'

/** docker's length of an ID that is shown. */
const shortLength = 12

/**
 * What `logs --details` puts before each line: the labels, variables and the tag that `--log-opt` chose, as
 * `KEY=VALUE,KEY=VALUE` with both escaped as in a query.
 */
export function logDetails(container: Container): string {
  const {
    labels = '',
    env = '',
    'labels-regex': labelsPattern,
    'env-regex': envPattern,
    tag = '',
  } = optionsOf(container)
  const { Labels: allLabels, Env: allEnv } = container.settings.config
  const variables = (allEnv ?? []).map((text) => {
    const equals = text.indexOf('=')
    return [text.slice(0, equals), text.slice(equals + 1)] as const
  })
  const details = new Map([
    ...chosen(Object.entries(allLabels ?? {}), labels, labelsPattern),
    ...chosen(variables, env, envPattern),
    ...(tag === '' ? [] : [['tag', renderTemplate(tag, tagFields(container))] as const]),
  ])
  return [...details]
    .map(([key, value]) => `${escaped(key)}=${escaped(value)}`)
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join(',')
}

function optionsOf({ settings }: Container): Readonly<Record<string, string>> {
  return settings.log?.options ?? {}
}

type Pair = readonly [string, string]

function chosen(pairs: readonly Pair[], names: string, pattern: string | undefined): readonly Pair[] {
  const wanted = new Set(names.split(','))
  const matcher = pattern === undefined || pattern === '' ? undefined : new RegExp(pattern, 'u')
  return pairs.filter(([key]) => wanted.has(key) || matcher?.test(key) === true)
}

/** What a tag's template may name. https://docs.docker.com/engine/logging/log_tags/ */
function tagFields(container: Container): Readonly<Record<string, string>> {
  const { id, name, imageId, settings } = container
  const hex = imageId.slice(imageId.indexOf(':') + 1)
  return {
    ID: id.slice(0, shortLength),
    FullID: id,
    Name: name,
    ImageID: hex.slice(0, shortLength),
    ImageFullID: imageId,
    ImageName: settings.image,
    DaemonName: 'docker',
    Command: commandLine(settings.config).join(' '),
  }
}

/** Go's url.QueryEscape. */
function escaped(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)
}
