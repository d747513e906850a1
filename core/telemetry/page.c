#include "core/telemetry/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONCE_SIZE 16 /* bytes, of which nobody can guess one */
#define MARK_SIZE 32

extern const char kv_page_html[], kv_page_css[], kv_page_js[];

void kv_telemetry_escape(FILE *out, const char *text)
{
   for (; *text; text++)
      switch (*text) {
      case '&':
         fputs("&amp;", out);
         break;
      case '<':
         fputs("&lt;", out);
         break;
      case '>':
         fputs("&gt;", out);
         break;
      case '"':
         fputs("&quot;", out);
         break;
      default:
         fputc(*text, out);
      }
}

static void put_state(FILE *out, const struct kv_telemetry *telemetry)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   if (snapshot->stage == KV_TELEMETRY_LOADING && snapshot->loaded_percent >= 0)
      fprintf(out, "loading: %d %%", snapshot->loaded_percent);
   else if (snapshot->stage == KV_TELEMETRY_LOADING)
      fputs("loading", out);
   else if (snapshot->stage == KV_TELEMETRY_STOPPING)
      fputs("stopping", out);
   else
      fputs(snapshot->read_only ? "read-only: writes are refused" : "serving", out);
   fprintf(out, ", version %s, mode ", telemetry->config.version);
   kv_telemetry_escape(out, snapshot->mode[0] ? snapshot->mode : "none yet");
}

static void put_mark(FILE *out, const char *mark, const char *nonce,
                     const struct kv_telemetry *telemetry)
{
   if (strcmp(mark, "NONCE") == 0)
      fputs(nonce, out);
   else if (strcmp(mark, "STYLE") == 0)
      fputs(kv_page_css, out);
   else if (strcmp(mark, "SCRIPT") == 0)
      fputs(kv_page_js, out);
   else if (strcmp(mark, "STATE") == 0)
      put_state(out, telemetry);
   else if (strcmp(mark, "TABLES") == 0)
      kv_telemetry_tables(out, telemetry);
}

/* With what belongs there in place of each @MARK@. */
static void put_page(FILE *out, const char *frame, const char *nonce,
                     const struct kv_telemetry *telemetry)
{
   const char *rest = frame;
   for (const char *at; (at = strchr(rest, '@'));) {
      const char *end = strchr(at + 1, '@');
      char mark[MARK_SIZE];
      fwrite(rest, 1, (size_t)(at - rest), out);
      snprintf(mark, sizeof mark, "%.*s", (int)(end - at - 1), at + 1);
      put_mark(out, mark, nonce, telemetry);
      rest = end + 1;
   }
   fputs(rest, out);
}

static bool make_nonce(char nonce[2 * NONCE_SIZE + 1])
{
   unsigned char bytes[NONCE_SIZE];
   if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
      return false;
   for (size_t i = 0; i < sizeof bytes; i++)
      snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
   return true;
}

/* `frame` with its marks replaced. */
static char *make(const char *frame, const char *nonce, const struct kv_telemetry *telemetry,
                  size_t *size)
{
   char *page = NULL;
   FILE *out = open_memstream(&page, size);
   if (!out)
      return NULL;
   put_page(out, frame, nonce, telemetry);
   bool whole = ferror(out) == 0;
   if (fclose(out) == 0 && whole)
      return page;
   free(page);
   return NULL;
}

char *kv_telemetry_page(const struct kv_telemetry *telemetry, size_t *size,
                        char policy[KV_PAGE_POLICY_SIZE])
{
   char nonce[2 * NONCE_SIZE + 1];
   if (!make_nonce(nonce))
      return NULL;
   snprintf(policy, KV_PAGE_POLICY_SIZE,
            "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            nonce, nonce);
   return make(kv_page_html, nonce, telemetry, size);
}

char *kv_telemetry_changing(const struct kv_telemetry *telemetry, size_t *size)
{
   return make("<p id=\"state\" role=\"status\">@STATE@</p>\n<div id=\"tables\">\n@TABLES@</div>\n",
               "", telemetry, size);
}
