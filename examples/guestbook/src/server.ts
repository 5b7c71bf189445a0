import express from 'express'
import { type Entry, renderPage } from './page.js'

const title = 'Guestbook'
const port = Number(process.env['PORT'] ?? 3000)
const host = process.env['HOST'] ?? '0.0.0.0'
const entries: Entry[] = [{ name: 'Cairn', text: 'built this image' }]

const app = express()
app.use(express.urlencoded({ extended: false, limit: '8kb' }))
app.get('/healthz', (_request, response) => {
  response.type('text').send('ok\n')
})
app.get('/', (_request, response) => {
  response.type('html').send(renderPage(title, entries))
})
app.post('/', (request, response) => {
  const { name, text } = request.body as Record<string, unknown>
  if (typeof name === 'string' && typeof text === 'string') entries.push({ name, text })
  response.redirect(303, '/')
})

const server = app.listen(port, host, () => {
  console.log(`guestbook: listening on http://${host}:${port}`)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    server.close(() => process.exit(0))
    server.closeAllConnections()
  })
}
