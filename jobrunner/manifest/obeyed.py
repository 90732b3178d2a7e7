"""Variables that programs obey: a parameter of such a name would let who submits a job steer them.

Each parameter of a command or script becomes a variable, in capitals. Sources: what the dynamic
linker drops for programs with more rights than their caller (ld.so(8), AT_SECURE), what sudo drops
(sudoers(5), env_delete and env_check), and the manuals of the programs named below.
"""

OBEYED_PREFIXES = {
    "JOBRUNNER_": "jobrunner tells a job about itself by them",
    "LD_": "the dynamic linker loads code by them",
    "DYLD_": "the dynamic linker of macOS loads code by them",
    "GIT_CONFIG": "git takes settings from them, and some of those are commands",
    "BASH_FUNC_": "bash takes functions from them",
}

_WHY = {
    "programs are found by it": "PATH FPATH CDPATH",
    "programs look for files, or put them, where it says": "HOME TMPDIR TMP TEMP PWD OLDPWD "
    "XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_HOME XDG_DATA_DIRS XDG_CACHE_HOME XDG_RUNTIME_DIR "
    "ZDOTDIR TMPPREFIX TERMINFO TERMINFO_DIRS TERMCAP TERMPATH TZDIR",
    "programs take it for the user they serve": "USER LOGNAME SHELL",
    "shells split words, or run code, by it": "IFS ENV BASH_ENV BASHOPTS SHELLOPTS PS4 GLOBIGNORE "
    "PROMPT_COMMAND NULLCMD READNULLCMD",
    "the C library loads code, or finds hosts, by it": "GCONV_PATH LOCPATH NLSPATH PATH_LOCALE "
    "GLIBC_TUNABLES GETCONF_DIR MALLOC_TRACE HOSTALIASES LOCALDOMAIN RES_OPTIONS RESOLV_HOST_CONF "
    "NIS_PATH SHLIB_PATH LIBPATH",
    "Python loads or runs code by it": "PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE "
    "PYTHONINSPECT PYTHONBREAKPOINT PYTHONWARNINGS PYTHONEXECUTABLE PYTHONPLATLIBDIR "
    "PYTHONPYCACHEPREFIX PYTHONCASEOK VIRTUAL_ENV PIP_CONFIG_FILE PIP_INDEX_URL",
    "Node.js loads code by it": "NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NPM_CONFIG_USERCONFIG "
    "NPM_CONFIG_PREFIX",
    "Perl loads code by it": "PERL5OPT PERL5LIB PERLLIB PERL5DB PERLIO_DEBUG",
    "Ruby loads code by it": "RUBYOPT RUBYLIB GEM_PATH GEM_HOME BUNDLE_GEMFILE",
    "Java loads code by it": "JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH JAVA_HOME "
    "MAVEN_OPTS GRADLE_OPTS",
    "PHP, Lua, Tcl or R load code by it": "PHPRC PHP_INI_SCAN_DIR LUA_PATH LUA_CPATH LUA_INIT "
    "TCLLIBPATH R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER R_LIBS",
    ".NET loads code by it": "DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS CORECLR_ENABLE_PROFILING "
    "CORECLR_PROFILER CORECLR_PROFILER_PATH",
    "git runs commands, or finds its files, by it": "GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_DIR "
    "GIT_WORK_TREE GIT_TEMPLATE_DIR GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_PAGER GIT_ASKPASS "
    "GIT_PROXY_COMMAND GIT_EXTERNAL_DIFF GIT_ALLOW_PROTOCOL",
    "programs run it as a command": "EDITOR VISUAL PAGER MANPAGER BROWSER LESSOPEN LESSCLOSE "
    "SSH_ASKPASS SUDO_ASKPASS RSYNC_RSH RSYNC_CONNECT_PROG CVS_RSH SVN_SSH SVN_EDITOR",
    "programs take options or settings from it": "LESS TAR_OPTIONS MAKEFLAGS GNUMAKEFLAGS "
    "MAKEFILES CURL_HOME WGETRC OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES KRB5_CONFIG "
    "KRB5_KTNAME SSH_AUTH_SOCK DOCKER_CONFIG KUBECONFIG AWS_CONFIG_FILE PGSERVICEFILE PGSYSCONFDIR "
    "PSQLRC MYSQL_HOME",
}
OBEYED = {name: why for why, names in _WHY.items() for name in names.split()}


def variable_of(parameter: str) -> str:
    """The variable by which a command or script gets a parameter."""
    return parameter.upper().replace("-", "_").replace(".", "_")


def why_obeyed(variable: str) -> str | None:
    """What programs do with a variable; None for one that is free to be a parameter's."""
    if variable in OBEYED:
        return OBEYED[variable]
    return next((why for begin, why in OBEYED_PREFIXES.items() if variable.startswith(begin)), None)
