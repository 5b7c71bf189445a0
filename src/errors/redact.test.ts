import { describe, expect, test } from 'bun:test'
import { redactUrl, redactUrls } from './redact.ts'

describe('redactUrl()', () => {
  test.each([
    ['https://u:p@h/a', 'https://h/a'],
    ['ssh://git@h/a', 'ssh://git@h/a'],
    ['https://h/a?X-Amz-Signature=s&X-Amz-Date=d', 'https://h/a?X-Amz-Signature=xxxxx&X-Amz-Date=d'],
    ['https://h/a?sv=1&sig=abc%3D', 'https://h/a?sv=1&sig=xxxxx'],
    ['https://h/a?pwd=1&jwt=2&passwd=3&pass=4', 'https://h/a?pwd=xxxxx&jwt=xxxxx&passwd=xxxxx&pass=xxxxx'],
    ['https://h/a?design=1&compass=2', 'https://h/a?design=1&compass=2'],
    ['a:b', 'a:b'],
  ])('shows %j as %j', (text, shown) => {
    expect(redactUrl(text)).toBe(shown)
  })
})

test('redactUrls() shows all URLs of a text so', () => {
  expect(redactUrls('ADD ["https://a:b@h/?sig=1","/x"]')).toBe('ADD ["https://h/?sig=xxxxx","/x"]')
})
