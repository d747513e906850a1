/* The symbols that the shared object defines for others, from its dynamic symbol table. */
#include "sdk/check/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Elf_Scn *find_symbols(Elf *elf, GElf_Shdr *header)
{
   for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section))
      if (gelf_getshdr(section, header) && header->sh_type == SHT_DYNSYM)
         return section;
   check_fail("it is not a shared object: it has no dynamic symbols");
}

static bool is_exported(const GElf_Sym *symbol)
{
   unsigned char binding = GELF_ST_BIND(symbol->st_info);
   unsigned char visibility = GELF_ST_VISIBILITY(symbol->st_other);
   return symbol->st_shndx != SHN_UNDEF && binding != STB_LOCAL &&
          (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

/* The address sanitizer of gcc adds one for each global that is exported. */
static bool is_of_sanitizer(const char *name)
{
   static const char prefix[] = "__odr_asan.";
   return strncmp(name, prefix, sizeof prefix - 1) == 0;
}

static void add_name(char *list, size_t size, const char *name, unsigned count)
{
   size_t used = strlen(list);
   if (count <= 5)
      snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

static void check_symbols(Elf *elf)
{
   GElf_Shdr header;
   Elf_Data *data = elf_getdata(find_symbols(elf, &header), NULL);
   char list[400] = "";
   unsigned others = 0;
   bool has_entry = false;
   for (int i = 0; data && (size_t)i < header.sh_size / header.sh_entsize; i++) {
      GElf_Sym symbol;
      const char *name =
          gelf_getsym(data, i, &symbol) ? elf_strptr(elf, header.sh_link, symbol.st_name) : NULL;
      if (!name || !is_exported(&symbol) || is_of_sanitizer(name))
         continue;
      if (strcmp(name, KVS_PLUGIN_SYMBOL) == 0)
         has_entry = true;
      else
         add_name(list, sizeof list, name, ++others);
   }
   if (!has_entry)
      check_fail("it does not export %s", KVS_PLUGIN_SYMBOL);
   if (others > 0)
      check_fail("it also exports %u other symbols: %s%s; compile it with -fvisibility=hidden and "
                 "link it with the version script plugin.map of the SDK",
                 others, list, others > 5 ? ", ..." : "");
}

void case_symbols(const struct check_subject *subject)
{
   int fd = open(subject->file, O_RDONLY | O_CLOEXEC);
   if (fd < 0)
      check_fail("%s: %s", subject->file, strerror(errno));
   if (elf_version(EV_CURRENT) == EV_NONE)
      check_broken("libelf is of another version");
   Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
   if (!elf || elf_kind(elf) != ELF_K_ELF)
      check_fail("it is not an ELF file");
   check_symbols(elf);
   elf_end(elf);
   close(fd);
}
